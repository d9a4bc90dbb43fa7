// SPDX-License-Identifier: GPL-2.0-or-later
// Records that the kernel collects from its own image: a named one, one without a name, one of no file's own.
//#Refuse: kernel-table __event_work
//#Refuse: kernel-table .initcall6.init
#include "kernel.h"

struct event {
	const char *name;
};

#ifdef PATCHED
static struct event event = { "work" };
static struct event *__used __section("_ftrace_events") __event_work = &event;
__asm__(".pushsection .initcall6.init, \"a\"\n.long later - .\n.popsection\n");
#endif

int later(void)
{
	return 0;
}
