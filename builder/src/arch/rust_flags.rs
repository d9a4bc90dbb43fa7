// SPDX-License-Identifier: GPL-2.0-or-later
//! Flags of a C compiler translated for rustc. Tables of the architectures in, flags out.
//!
//! Flags that tell the machine (-m…) are all to be known: any of them may change what code has to be like. Of the
//! others those count that change what others rely on: where functions begin and return, what the stack holds.

use anyhow::{bail, Result};

/// A C compiler's flag (its beginning, where it ends in `*`), and what says the same to rustc; nothing where rustc
/// does so anyway, or where it is for C alone.
pub type Row = (&'static str, &'static [&'static str]);

/// What holds on every architecture.
const COMMON: &[Row] = &[
    ("-fno-omit-frame-pointer", &["-Cforce-frame-pointers=y"]),
    ("-fno-jump-tables", &["-Zno-jump-tables"]),
    // A jump table of rustc's would be as good as one of the C compiler's.
    ("-fjump-tables", &[]),
    ("-O2", &["-Copt-level=2"]),
    ("-O3", &["-Copt-level=2"]),
    ("-Os", &["-Copt-level=s"]),
];

/// Flags that kmend cannot match: callers or the loader would expect something that is missing.
const REFUSED: &[&str] = &["-fsanitize=kcfi", "-fsanitize=cfi*", "-fsanitize=shadow-call-stack", "-fplugin=*"];

/// Translates `c` by the rows of an architecture.
///
/// # Errors
/// A flag that is refused, or one that begins with -m and is in no row, by name.
pub fn translate(c: &[String], rows: &[Row]) -> Result<Vec<String>> {
    let mut flags: Vec<String> = Vec::new();
    for flag in c {
        if REFUSED.iter().any(|known| matches(flag, known)) {
            bail!("the kernel's C is compiled with {flag}, and kmend does not know the matching flag of rustc");
        }
        let row = rows.iter().chain(COMMON).find(|(known, _)| matches(flag, known));
        let Some((known, same)) = row else {
            if flag.starts_with("-m") {
                bail!("the kernel's C is compiled with {flag}: kmend does not know what that is for rustc");
            }
            continue;
        };
        let rest = &flag[known.trim_end_matches('*').len().min(flag.len())..];
        for said in same.iter().map(|same| same.replace('*', rest)) {
            // The last word of a C compiler's command line counts; rustc is told once.
            if !flags.contains(&said) {
                flags.push(said);
            }
        }
    }
    Ok(flags)
}

fn matches(flag: &str, known: &str) -> bool {
    known.strip_suffix('*').map_or(flag == known, |start| flag.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn rows_and_their_rests() {
        let rows: &[Row] = &[("-mx", &["-Cx"]), ("-mn=*", &["-Zn=*", "-Zm"]), ("-mq*", &[])];
        let flags = translate(&words("-Ia -O2 -mx -mn=3,4 -mquiet -mx -Wall -fnew"), rows).unwrap();
        assert_eq!(flags, ["-Copt-level=2", "-Cx", "-Zn=3,4", "-Zm"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for flag in ["-mnew", "-mx2", "-fsanitize=kcfi", "-fplugin=./scripts/x.so"] {
            let said = translate(&words(flag), &[("-mx", &[])]).unwrap_err().to_string();
            assert!(said.contains(flag), "{said}");
        }
    }
}
