// SPDX-License-Identifier: GPL-2.0-or-later
// The texts of NL_SET_ERR_MSG all have one name: a new one does not make others change.
//#Expect: changed work
//#Data: new __msg
//#Data: new __msg
//#Data: new __msg
//#Special: ftrace 1
#include "kernel.h"

struct netlink_ext_ack {
	const char *_msg;
};

#define NL_SET_ERR_MSG(ack, msg)            \
	do {                                \
		static const char __msg[] = msg; \
		(ack)->_msg = __msg;        \
	} while (0)

int work(struct netlink_ext_ack *ack, int x)
{
	if (x < 0) {
		NL_SET_ERR_MSG(ack, "must not be negative");
		return -22;
	}
	outside(1);
#ifdef PATCHED
	if (x > 100) {
		NL_SET_ERR_MSG(ack, "too large");
		return -34;
	}
	outside(2);
#endif
	if (x == 7)
		NL_SET_ERR_MSG(ack, "seven is not to be had at this time");
	return x;
}

int still(struct netlink_ext_ack *ack)
{
	NL_SET_ERR_MSG(ack, "no longer there");
	return -2;
}
