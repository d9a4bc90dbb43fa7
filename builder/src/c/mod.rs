// SPDX-License-Identifier: GPL-2.0-or-later
//! C as a text: lines and directives of a source file, tokens of a preprocessed unit, the words in it. Knows no stage.

pub mod lex;
pub mod tokens;
pub mod words;
