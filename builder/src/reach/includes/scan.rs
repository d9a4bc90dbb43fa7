// SPDX-License-Identifier: GPL-2.0-or-later
//! What a text includes: the bytes of a C file, a header, an assembler file or a makefile in, the names in its
//! `#include` lines out. Nothing is expanded: conditionals and comments count as if they were not there, which can
//! only give too much.

use memchr::memmem;

/// How a name is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// `#include "x.h"`: beside the including file first.
    Quoted,
    /// `#include <x.h>`, `#include_next` and `.include`: anywhere.
    Anywhere,
}

/// The includes of one text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Includes {
    /// How, and the name as it is written.
    pub names: Vec<(How, String)>,
    /// Names that macros hold, for a header that others include by way of the macro: found anywhere.
    pub by_macro: Vec<String>,
    /// A macro computes the name of one, and nothing here says which.
    pub computed: Vec<String>,
}

/// Macros whose value is a header's name without its ending; headers with trace events name themselves so, to be included
/// again by way of `#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)`.
const FILE_MACROS: [&str; 2] = ["INCLUDE_FILE", "TRACE_SYSTEM"];

/// The searchers, made once for all texts.
pub struct Scanner {
    include: memmem::Finder<'static>,
    macros: [memmem::Finder<'static>; 2],
}

impl Default for Scanner {
    fn default() -> Self {
        Self { include: memmem::Finder::new("include"), macros: FILE_MACROS.map(memmem::Finder::new) }
    }
}

impl Scanner {
    /// Finds what `text` includes.
    pub fn scan(&self, text: &[u8]) -> Includes {
        let mut found = Includes::default();
        for at in self.include.find_iter(text) {
            let before = line_before(text, at);
            let after = line_after(text, at + "include".len());
            match before {
                b"#" => directive(after, &mut found),
                // The assembler's own, also within strings of inline assembler.
                _ if before.ends_with(b".") => {
                    let name = after.trim_ascii_start().strip_prefix(b"\\").unwrap_or(after.trim_ascii_start());
                    found.names.extend(literal(name, b'"', b"\"\\").map(|n| (How::Anywhere, n)));
                }
                _ => {}
            }
        }
        for at in self.macros.iter().flat_map(|m| m.find_iter(text)) {
            let before = line_before(text, at);
            let Some(name) = before.strip_prefix(b"#").map(<[u8]>::trim_ascii_start) else { continue };
            if !name.starts_with(b"define") {
                continue;
            }
            let value = line_after(text, at).splitn(2, |b| b.is_ascii_whitespace()).nth(1).unwrap_or_default();
            let value = value.trim_ascii();
            let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b'.');
            // The default of one by the other says nothing new.
            if !value.is_empty() && value.iter().all(plain) && !value.starts_with(b"TRACE_SYSTEM") {
                found.by_macro.push(format!("{}.h", String::from_utf8_lossy(value)));
            }
        }
        found
    }
}

/// What is between `#include` and the line's end.
fn directive(after: &[u8], found: &mut Includes) {
    let (next, after) = match after.strip_prefix(b"_next") {
        Some(rest) => (true, rest),
        None => (false, after),
    };
    let operand = after.trim_ascii_start();
    match operand.first() {
        Some(b'"') => {
            let how = if next { How::Anywhere } else { How::Quoted };
            found.names.extend(literal(operand, b'"', b"\"").map(|n| (how, n)));
        }
        Some(b'<') => found.names.extend(literal(operand, b'<', b">").map(|n| (How::Anywhere, n))),
        // `includes`, `include_dir`: another word.
        Some(b) if (b.is_ascii_alphabetic() || *b == b'_') && after.len() > operand.len() => {
            let end = operand.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(operand.len());
            let name = String::from_utf8_lossy(&operand[..end]).into_owned();
            // TRACE_INCLUDE(TRACE_INCLUDE_FILE), REMOTE_EVENT_INCLUDE(…): the headers that set the second say which.
            if !(name.ends_with("_INCLUDE") && operand[end..].starts_with(b"(")) {
                found.computed.push(name);
            }
        }
        _ => {}
    }
}

/// The name that begins with `open` and goes up to one of `close`, as far as it is on this line.
fn literal(text: &[u8], open: u8, close: &[u8]) -> Option<String> {
    let rest = text.strip_prefix(&[open])?;
    let end = rest.iter().position(|b| close.contains(b))?;
    std::str::from_utf8(&rest[..end]).ok().filter(|n| !n.is_empty()).map(String::from)
}

/// The line up to `at`, less blanks.
fn line_before(text: &[u8], at: usize) -> &[u8] {
    let begin = memchr::memrchr(b'\n', &text[..at]).map_or(0, |p| p + 1);
    text[begin..at].trim_ascii()
}

/// The line from `at` on.
fn line_after(text: &[u8], at: usize) -> &[u8] {
    let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |p| at + p);
    &text[at..end]
}

/// The headers that a makefile puts before every file, `-include $(src)/x.h`, without what make has to expand.
pub fn forced(makefile: &str) -> Vec<String> {
    let words = makefile.split(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
    let pairs = words.windows(2).filter(|w| matches!(w[0], "-include" | "-imacros"));
    let names = pairs.map(|w| w[1].rsplit(')').next().unwrap_or_default().trim_start_matches('/'));
    names.filter(|n| n.ends_with(".h")).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(How, String)> {
        Scanner::default().scan(text.as_bytes()).names
    }

    #[test]
    fn includes_of_all_kinds() {
        let quoted = |n: &str| (How::Quoted, n.to_string());
        let anywhere = |n: &str| (How::Anywhere, n.to_string());
        assert_eq!(
            names("#include \"part.c\"\n  #  include\t<../lib/x.h> // y\n"),
            [quoted("part.c"), anywhere("../lib/x.h")]
        );
        assert_eq!(names("#include_next <asm/x.h>\n#include_next \"y.h\""), [anywhere("asm/x.h"), anywhere("y.h")]);
        assert_eq!(
            names("\t.include \"asm/z.inc\"\nasm(\".include \\\"w.h\\\"\\n\");\n"),
            [anywhere("asm/z.inc"), anywhere("w.h")]
        );
        // Too much is no harm, another directive or word is nothing.
        assert_eq!(
            names("/*\n#include <old.h>\n*/\n// \"no.c\"\nchar *s = \"#include <no.h>\";\n"),
            [anywhere("old.h")]
        );
        assert_eq!(names("#includes <x.h>\nint include;\n#define include 1\n#include\n#include \"open\n"), []);
    }

    #[test]
    fn names_that_macros_compute() {
        let scan = |text: &str| Scanner::default().scan(text.as_bytes());
        let trace = "#undef TRACE_SYSTEM\n#define TRACE_SYSTEM sched\n#define TRACE_INCLUDE_PATH .\n\
                     # define TRACE_INCLUDE_FILE ../x/trace\n#include <trace/define_trace.h>\n";
        assert_eq!(scan(trace).names, [(How::Anywhere, "trace/define_trace.h".to_string())]);
        assert_eq!(scan(trace).by_macro, ["../x/trace.h", "sched.h"]);
        let own = scan("#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)\n# define TRACE_INCLUDE_FILE TRACE_SYSTEM\n");
        assert_eq!(own, Includes::default());
        assert_eq!(
            scan("#define PT_FMT_H x\n#include PT_FMT_H\n#include CONFIG_FILE /* x */\n").computed,
            ["PT_FMT_H", "CONFIG_FILE"]
        );
    }

    #[test]
    fn headers_that_makefiles_force() {
        let text = "-include $(obj)/auto.conf\nflags += -include $(srctree)/include/linux/hidden.h -I x\n\
                    X := -include $(src)/fake.h -imacros 'a/b.h'\n";
        assert_eq!(forced(text), ["include/linux/hidden.h", "fake.h", "a/b.h"]);
    }
}
