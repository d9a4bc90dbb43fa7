/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's headers make of a few constructs: just enough for the pairs, written for them. */
#ifndef PAIRS_KERNEL_H
#define PAIRS_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;

#define NULL ((void *)0)
#define noinline __attribute__((__noinline__, __noclone__))
#ifdef __powerpc64__
#define notrace __attribute__((no_instrument_function, patchable_function_entry(0, 0)))
#else
#define notrace __attribute__((no_instrument_function))
#endif
#define __used __attribute__((used))
#define __section(name) __attribute__((section(name)))
#define __init __section(".init.text") notrace
#define __ref __section(".ref.text") noinline
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile("" ::: "memory")

struct bug_entry {
	s32 bug_addr_disp;
	s32 file_disp;
	u16 line;
	u16 flags;
};

struct exception_table_entry {
#ifdef __powerpc64__
	s32 insn, fixup;
#else
	s32 insn, fixup, data;
#endif
};

struct jump_entry {
	s32 code, target;
	long key;
};

struct alt_instr {
	s32 instr_offset, repl_offset;
	u32 ft_flags;
	u8 instrlen, replacementlen;
} __attribute__((packed));

struct fixup_entry {
	unsigned long mask, value;
	long start_off, end_off, alt_start_off, alt_end_off;
};

struct static_call_site {
	s32 addr, key;
};

struct static_key {
	int enabled;
	long type;
};

int printk(const char *format, ...);
void outside(int value);
int source(void);

#ifdef __powerpc64__

/* The instruction traps when the condition holds; the compiler knows nothing of it. */
#define WARN_WITH(condition, flags)                                                  \
	__asm__ volatile("1: tdnei %4, 0\n"                                          \
			 ".section __bug_table, \"aw\"\n"                           \
			 "2: .4byte 1b - .\n"                                        \
			 ".4byte %0 - .\n"                                           \
			 ".short %1, %2\n"                                           \
			 ".org 2b + %3\n"                                            \
			 ".previous\n"                                               \
			 :                                                           \
			 : "i"(__FILE__), "i"(__LINE__), "i"(flags), "i"(sizeof(struct bug_entry)), \
			   "r"((long)!!(condition)))

#define WARN_ON(condition) WARN_WITH(condition, 1)

static inline __attribute__((always_inline)) int static_branch(struct static_key *key)
{
	__asm__ goto("1: nop\n"
		     ".pushsection __jump_table, \"aw\"\n"
		     ".long 1b - ., %l[yes] - .\n"
		     ".8byte %c0 - .\n"
		     ".popsection\n"
		     :
		     : "i"(key)
		     :
		     : yes);
	return 0;
yes:
	return 1;
}

/* Reads a word that may fault. There are no types of handlers here: another type is another way to go on. */
#define get_user(to, from, type)                                                     \
	__asm__ volatile("1: lwz %0, 0(%1)\n"                                        \
			 "2:\n"                                                      \
			 ".if " #type " == 4\n"                                      \
			 "nop\n"                                                     \
			 ".endif\n"                                                  \
			 ".section __ex_table, \"a\"\n"                             \
			 ".balign 4\n"                                               \
			 ".long 1b - .\n"                                            \
			 ".long 2b + 4 * (" #type " == 4) - .\n"                     \
			 ".previous\n"                                               \
			 : "=r"(to)                                                  \
			 : "b"(from))

/* The handler stands in .fixup (asm/word-at-a-time.h). */
#define get_user_fixup(to, from, error)                                              \
	__asm__ volatile("1: lwz %0, 0(%1)\n"                                        \
			 "2:\n"                                                      \
			 ".section .fixup, \"ax\"\n"                                \
			 "3: li %0, " #error "\n"                                    \
			 "b 2b\n"                                                    \
			 ".previous\n"                                               \
			 ".section __ex_table, \"a\"\n"                             \
			 ".balign 4\n"                                               \
			 ".long 1b - .\n"                                            \
			 ".long 3b - .\n"                                            \
			 ".previous\n"                                               \
			 : "=r"(to)                                                  \
			 : "b"(from))

/* Code that another takes the place of on a processor without (some) features, as ASM_FTR_IF makes it; the table is
   __ftr_fixup, __mmu_ftr_fixup or __fw_ftr_fixup. */
#define feature_section(code, otherwise, mask, value, table)                         \
	__asm__ volatile("971: " code "\n"                                           \
			 "972:\n"                                                    \
			 ".pushsection __ftr_alt_97, \"a\"\n"                       \
			 ".align 2\n"                                                \
			 "973: " otherwise "\n"                                      \
			 "974:\n"                                                    \
			 ".popsection\n"                                             \
			 ".pushsection " #table ", \"a\"\n"                         \
			 ".align 3\n"                                                \
			 "975:\n"                                                    \
			 ".8byte %c0\n"                                              \
			 ".8byte %c1\n"                                              \
			 ".8byte 971b - 975b\n"                                      \
			 ".8byte 972b - 975b\n"                                      \
			 ".8byte 973b - 975b\n"                                      \
			 ".8byte 974b - 975b\n"                                      \
			 ".popsection\n"                                             \
			 :                                                           \
			 : "i"(mask), "i"(value)                                     \
			 : "memory")

/* PPC_ACQUIRE_BARRIER */
#define acquire_barrier()                                                            \
	__asm__ volatile("971: isync\n"                                              \
			 "972:\n"                                                    \
			 ".pushsection __lwsync_fixup, \"a\"\n"                     \
			 ".align 2\n"                                                \
			 "973: .8byte 971b - 973b\n"                                 \
			 ".popsection\n" ::: "memory")

#define barrier_nospec()                                                             \
	__asm__ volatile("953:\n"                                                    \
			 ".pushsection __barrier_nospec_fixup, \"a\"\n"             \
			 ".align 2\n"                                                \
			 "954: .8byte 953b - 954b\n"                                 \
			 ".popsection\n"                                             \
			 "nop\n" ::: "memory")

#else

#define WARN(flags)                                                                  \
	__asm__ volatile("1: ud2\n"                                                  \
			 ".pushsection __bug_table, \"aw\"\n"                        \
			 "2: .long 1b - .\n"                                         \
			 ".long %c0 - .\n"                                           \
			 ".word %c1\n"                                               \
			 ".word %c2\n"                                               \
			 ".org 2b + %c3\n"                                           \
			 ".popsection\n"                                             \
			 :                                                           \
			 : "i"(__FILE__), "i"(__LINE__), "i"(flags), "i"(sizeof(struct bug_entry)))

#define WARN_WITH(condition, flags)                                                  \
	do {                                                                         \
		if (unlikely(condition))                                             \
			WARN(flags);                                                 \
	} while (0)

#define WARN_ON(condition) WARN_WITH(condition, 1)

static inline __attribute__((always_inline)) int static_branch(struct static_key *key)
{
	__asm__ goto("1: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
		     ".pushsection __jump_table, \"aw\"\n"
		     ".balign 8\n"
		     ".long 1b - ., %l[yes] - .\n"
		     ".quad %c0 - .\n"
		     ".popsection\n"
		     :
		     : "i"(key)
		     :
		     : yes);
	return 0;
yes:
	return 1;
}

/* Reads a word that may fault; `type` is the handler's. */
#define get_user(to, from, type)                                                     \
	__asm__ volatile("1: movl (%1), %0\n"                                        \
			 "2:\n"                                                      \
			 ".pushsection __ex_table, \"a\"\n"                          \
			 ".balign 4\n"                                               \
			 ".long 1b - .\n"                                            \
			 ".long 2b - .\n"                                            \
			 ".long " #type "\n"                                         \
			 ".popsection\n"                                             \
			 : "=r"(to)                                                  \
			 : "r"(from))

/* As kernels before 5.16 had it: the handler stands in .fixup. */
#define get_user_fixup(to, from, error)                                              \
	__asm__ volatile("1: movl (%1), %0\n"                                        \
			 "2:\n"                                                      \
			 ".pushsection .fixup, \"ax\"\n"                             \
			 "3: movl $" #error ", %0\n"                                 \
			 "jmp 2b\n"                                                  \
			 ".popsection\n"                                             \
			 ".pushsection __ex_table, \"a\"\n"                          \
			 ".balign 4\n"                                               \
			 ".long 1b - .\n"                                            \
			 ".long 3b - .\n"                                            \
			 ".long 0\n"                                                 \
			 ".popsection\n"                                             \
			 : "=r"(to)                                                  \
			 : "r"(from))

#define alternative(old, new, feature)                                               \
	__asm__ volatile("661: " old "\n"                                            \
			 "662: .skip -(((665f - 664f) - (662b - 661b)) > 0) * ((665f - 664f) - (662b - 661b)), 0x90\n" \
			 "663:\n"                                                    \
			 ".pushsection .altinstructions, \"a\"\n"                    \
			 ".long 661b - .\n"                                          \
			 ".long 664f - .\n"                                          \
			 ".4byte " #feature "\n"                                     \
			 ".byte 663b - 661b\n"                                       \
			 ".byte 665f - 664f\n"                                       \
			 ".popsection\n"                                             \
			 ".pushsection .altinstr_replacement, \"ax\"\n"              \
			 "664: " new "\n"                                            \
			 "665:\n"                                                    \
			 ".popsection\n" ::: "memory")

#define locked_inc(place)                                                            \
	__asm__ volatile(".pushsection .smp_locks, \"a\"\n"                          \
			 ".balign 4\n"                                               \
			 ".long 671f - .\n"                                          \
			 ".popsection\n"                                             \
			 "671: lock; incl %0"                                        \
			 : "+m"(place))

/* ANNOTATE_RETPOLINE_SAFE and its like. */
#define annotate(type)                                                               \
	__asm__ volatile("911:\n"                                                    \
			 ".pushsection .discard.annotate_insn, \"M\", @progbits, 8\n" \
			 ".long 911b - .\n"                                          \
			 ".long " #type "\n"                                         \
			 ".popsection\n")

#endif

#define EXPORT_SYMBOL(name)                                                          \
	__asm__(".pushsection .export_symbol, \"a\"\n"                               \
		"__export_symbol_" #name ":\n"                                       \
		".asciz \"GPL\"\n"                                                   \
		".asciz \"\"\n"                                                      \
		".balign 8\n"                                                        \
		".quad " #name "\n"                                                  \
		".popsection\n")

#define ONCE(statement)                                                              \
	do {                                                                         \
		static u8 __section(".data..once") __already_done;                   \
		if (!__already_done) {                                               \
			__already_done = 1;                                          \
			statement;                                                   \
		}                                                                    \
	} while (0)

#endif
