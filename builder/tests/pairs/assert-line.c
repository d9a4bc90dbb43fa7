// SPDX-License-Identifier: GPL-2.0-or-later
// ASSERT_RTNL, might_sleep, lockdep: lines alone move.
//#Nothing[x86_64]
//#Expect[ppc64le]: changed work
//#Special[ppc64le]: ftrace 1
#include "kernel.h"

int rtnl_is_locked(void);
void __might_sleep(const char *file, int line);
void lockdep_rcu_suspicious(const char *file, const int line, const char *text);

#ifdef PATCHED
#line 300
#endif
int work(int x)
{
	__might_sleep(__FILE__, __LINE__);
	if (unlikely(!rtnl_is_locked()))
		printk("RTNL: assertion failed at %s (%d)\n", __FILE__, __LINE__);
	if (x)
		lockdep_rcu_suspicious(__FILE__, __LINE__, "suspicious rcu_dereference_check() usage");
	return x + source();
}
