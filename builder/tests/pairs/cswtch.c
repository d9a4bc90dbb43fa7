// SPDX-License-Identifier: GPL-2.0-or-later
// A switch that becomes a table: the table belongs to the code.
//#Expect: changed weight
//#Data: new CSWTCH
//#Special: ftrace 1
#include "kernel.h"

int weight(int x)
{
	switch (x) {
	case 0: return 17;
	case 1: return 4;
	case 2: return 99;
	case 3: return 23;
#ifdef PATCHED
	case 4: return 77;
#else
	case 4: return 76;
#endif
	case 5: return 1;
	default: return -1;
	}
}

int other(int x)
{
	switch (x) {
	case 0: return 7;
	case 1: return 44;
	case 2: return 9;
	case 3: return 3;
	case 4: return 6;
	case 5: return 12;
	default: return -1;
	}
}
