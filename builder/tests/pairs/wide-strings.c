// SPDX-License-Identifier: GPL-2.0-or-later
// Strings of two-byte letters, as EFI names are: they have a zero byte in each letter. One is changed, one is carried.
//#Flags: -fshort-wchar
//#Expect: changed changed
//#Expect: changed carried
//#Special: ftrace 2
#include "kernel.h"

typedef u16 efi_char16_t;

long get_variable(const efi_char16_t *name, void *p);

long changed(void *p)
{
#ifdef PATCHED
	return get_variable((const efi_char16_t *)L"MokListRT", p);
#else
	return get_variable((const efi_char16_t *)L"MokIgnoreDB", p);
#endif
}

long carried(void *p)
{
#ifdef PATCHED
	if (!p)
		return -22;
#endif
	return get_variable((const efi_char16_t *)L"dbx", p);
}

long same(void *p)
{
	return get_variable((const efi_char16_t *)L"MokIgnore", p);
}
