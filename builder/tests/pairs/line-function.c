// SPDX-License-Identifier: GPL-2.0-or-later
// __func__ and __LINE__, for functions that are known to take them, and one that is not.
//#Expect: changed unknown
//#Data: new __func__
//#Special: ftrace 1
#include "kernel.h"

void __ext4_error(void *sb, const char *function, int line, const char *format);
void report(const char *function, int number);

#ifdef PATCHED
#line 700
#endif
int known(void *sb)
{
	__ext4_error(sb, __func__, __LINE__, "bad\n");
	return 0;
}

int unknown(void *sb)
{
	report(__func__, __LINE__);
	return 1;
}
