// SPDX-License-Identifier: GPL-2.0-or-later
//! How chores talk to a person: titles and results, in colour on a terminal only.

use std::io::IsTerminal;

/// Colours by what they mean.
#[derive(Clone, Copy)]
pub enum Tone {
    /// A new part begins.
    Title,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// `text` in its tone; plain where stdout is no terminal or NO_COLOR is set.
pub fn toned(tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Title => "1;36",
        Tone::Good => "32",
        Tone::Bad => "31",
    };
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    if plain {
        text.into()
    } else {
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A part's heading.
pub fn title(text: &str) {
    println!("\n{}", toned(Tone::Title, text));
}
