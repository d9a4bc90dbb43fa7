// SPDX-License-Identifier: GPL-2.0-only

//! Functions that come as machine code in an object of their own: names in, declarations out.

/// Declares functions of the payload, each under the symbol that it has there.
///
/// Besides, it tells objtool that their addresses are not taken to call them through a pointer, as
/// `ANNOTATE_NOENDBR_SYM()` of [`include/linux/annotate.h`](srctree/include/linux/annotate.h) does:
/// ftrace returns into a replacement, so that it needs no ENDBR at its start, and one that takes
/// the place of a static function may have none.
macro_rules! payload {
    ($($(#[$doc:meta])* fn $name:ident = $symbol:literal;)*) => {
        extern "C" {
            $(
                $(#[$doc])*
                #[link_name = $symbol]
                pub(crate) fn $name();
            )*
        }

        $(
            #[cfg(CONFIG_X86_KERNEL_IBT)]
            core::arch::global_asm!(
                ".if {noendbr}",
                ".pushsection .discard.annotate_insn, \"M\", @progbits, 8",
                ".long {symbol} - ., {noendbr}",
                ".else",
                // As `ANNOTATE_NOENDBR` of include/linux/objtool.h was up to 6.13.
                ".pushsection .discard.noendbr",
                ".long {symbol}",
                ".endif",
                ".popsection",
                symbol = sym $name,
                noendbr = const $crate::bindings::ANNOTYPE_NOENDBR,
            );
        )*
    };
}
