// SPDX-License-Identifier: GPL-2.0-or-later
// Debug information as clang writes it (DWARF 5): names are numbers in a list of offsets. Written here by hand, since GCC
// uses them in files of their own only.
//#Flags: -g0
//#Expect: changed work
//#Kernel: key
//#Special: __jump_table 1
//#Special: ftrace 1
#include "kernel.h"

struct static_key key;

__asm__(".section .debug_abbrev, \"\", @progbits\n"
	/* DW_TAG_compile_unit with DW_AT_str_offsets_base; DW_TAG_structure_type with DW_AT_name (strx1) and a size. */
	".byte 1, 0x11, 1, 0x72, 0x17, 0, 0\n"
	".byte 2, 0x13, 0, 0x03, 0x25, 0x0b, 0x0b, 0, 0\n"
	".byte 0\n"
	".section .debug_info, \"\", @progbits\n"
	".4byte .Linfo_end - .Linfo\n"
	".Linfo: .2byte 5\n"
	".byte 1, 8\n"
	".4byte .debug_abbrev\n"
	".byte 1\n"
	".4byte .Lnames\n"
	".byte 2, 0, 99\n"
	".byte 2, 1, 16\n"
	".byte 0\n"
	".Linfo_end:\n"
	".section .debug_str_offsets, \"\", @progbits\n"
	".4byte .Lnames_end - .Llist\n"
	".Llist: .2byte 5, 0\n"
	".Lnames: .4byte .Lother, .Ljump_entry\n"
	".Lnames_end:\n"
	".section .debug_str, \"MS\", @progbits, 1\n"
	".Lother: .asciz \"other\"\n"
	".Ljump_entry: .asciz \"jump_entry\"\n"
	".text\n");

int work(int x)
{
	if (static_branch(&key))
		outside(x);
#ifdef PATCHED
	outside(3);
#endif
	return x;
}
