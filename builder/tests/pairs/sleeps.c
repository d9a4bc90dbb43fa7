// SPDX-License-Identifier: GPL-2.0-or-later
// A task may wait in it for long; one that only looks at the time does not.
//#Warn: sleeps work
//#Expect: changed work
//#Expect: changed brief
//#Special: ftrace 2
#include "kernel.h"

void schedule(void);
long schedule_timeout(long timeout);

#ifdef PATCHED
#define STEP 2
#else
#define STEP 1
#endif

int work(void)
{
	while (!source())
		schedule();
	return STEP;
}

int brief(void)
{
	return schedule_timeout(10) + STEP;
}
