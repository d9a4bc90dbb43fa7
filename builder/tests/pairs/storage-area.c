// SPDX-License-Identifier: GPL-2.0-or-later
// Code and data that the kernel tells by their addresses: nothing but the section changes, or more.
//#Refuse: storage-class sleep
//#Refuse: storage-class idle
//#Refuse: storage-class shared
#include "kernel.h"

#ifdef PATCHED
#define SCHED __section(".sched.text")
#define IDLE __section(".cpuidle.text")
#define CLEAR __section(".data..decrypted")
#else
#define SCHED
#define IDLE
#define CLEAR
#endif

static int shared CLEAR = 3;
static int unchanged __section(".data..decrypted") = 4;

SCHED int sleep(int x)
{
	outside(x);
	return x;
}

IDLE int idle(int x)
{
	outside(x);
#ifdef PATCHED
	outside(2);
#endif
	return x;
}

int user(int x)
{
	shared += x;
	return unchanged++;
}
