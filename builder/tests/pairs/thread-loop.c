// SPDX-License-Identifier: GPL-2.0-or-later
// The main loop of a kernel thread.
//#Warn: thread-loop work
//#Expect: changed work
//#Special: ftrace 1
#include "kernel.h"

_Bool kthread_should_stop(void);

int work(void *data)
{
	while (!kthread_should_stop()) {
#ifdef PATCHED
		outside(2);
#else
		outside(1);
#endif
	}
	return 0;
}
