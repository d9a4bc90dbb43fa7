// SPDX-License-Identifier: GPL-2.0-or-later
// A module parameter more: read when the module was loaded.
//#Refuse: init-data __param_limit
#include "kernel.h"

struct kernel_param {
	const char *name;
	void *value;
};

#ifdef PATCHED
static int limit = 3;
static const struct kernel_param __used __section("__param") __param_limit = { "limit", &limit };
#endif

int work(int x)
{
	return x * 2;
}
