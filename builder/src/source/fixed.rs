// SPDX-License-Identifier: GPL-2.0-or-later
//! The lines that the fixes change: original and patched text in; out, for a line number of the compiler's, whether
//! the fix touches that line, and what is there. `#line` directives that kmend put in (`source/lines.rs`) are
//! counted by the compiler, so that one number may mean two lines; the function that is asked for decides.

use crate::c::lex::{scan, Directive};
use crate::source::PatchedTree;
use similar::{capture_diff_slices, Algorithm, DiffOp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One line of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1; in a patched file as the fix leaves it.
    pub number: usize,
    /// Its text, without indentation.
    pub text: String,
    /// The fix adds or changes it, or takes it away.
    pub touched: bool,
}

/// One text of a source file: as it was, or as the fixes leave it.
#[derive(Clone, Debug, Default)]
pub struct Text {
    lines: Vec<Line>,
    /// By the compiler's number: indexes into `lines`.
    by_number: HashMap<u32, Vec<usize>>,
    /// For each line the last one before it that begins at the left margin, as definitions do.
    heads: Vec<usize>,
}

/// A macro whose definition the fixes change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macro {
    /// Its name.
    pub name: String,
    /// The file that defines it.
    pub file: String,
    /// The line of the `#define` in the patched file.
    pub line: usize,
}

/// All that the fixes change.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    /// Where the compiler saw the tree.
    root: String,
    original: BTreeMap<String, Text>,
    patched: BTreeMap<String, Text>,
    /// Macros whose definition changes or that are new.
    pub macros: Vec<Macro>,
    /// Types in whose definition lines change or go away: `struct ops (fs/a.c:12)`.
    pub types: BTreeSet<String>,
}

impl Fixed {
    /// Of the files that `tree` touches; the compiler saw the tree at `root`.
    pub fn of(tree: &PatchedTree, root: &str) -> Self {
        let mut all = Self { root: root.trim_end_matches('/').into(), ..Self::default() };
        for (path, file) in &tree.files {
            let (Some(original), Some(patched)) = (&file.original, &file.patched) else { continue };
            all.add(path, original, patched);
        }
        all
    }

    /// Of one file: as it was, and as the fixes leave it, with kmend's `#line` directives.
    pub fn between(root: &str, path: &str, original: &[u8], patched: &[u8]) -> Self {
        let mut all = Self { root: root.into(), ..Self::default() };
        all.add(path, original, patched);
        all
    }

    fn add(&mut self, path: &str, original: &[u8], patched: &[u8]) {
        let old: Vec<&[u8]> = original.split_inclusive(|b| *b == b'\n').collect();
        let new: Vec<&[u8]> = patched.split_inclusive(|b| *b == b'\n').collect();
        // kmend's own directives are in the patched text and nowhere else.
        let ours = |line: &&[u8]| line.starts_with(b"#line ") && !old.contains(line);
        let mut number = 1u64;
        let mut counted = Vec::with_capacity(new.len());
        for scanned in scan(&new) {
            counted.push(number as u32);
            number = match scanned.directive {
                Some(Directive::Line(n)) => n,
                _ => number + 1,
            };
        }
        let kept: Vec<(&[u8], u32)> = new.iter().copied().zip(counted).filter(|(line, _)| !ours(line)).collect();
        let plain: Vec<&[u8]> = kept.iter().map(|(line, _)| *line).collect();
        let (mut gone, mut come) = (vec![true; old.len()], vec![true; plain.len()]);
        for op in capture_diff_slices(Algorithm::Myers, &old, &plain) {
            if let DiffOp::Equal { old_index, new_index, len } = op {
                gone[old_index..old_index + len].fill(false);
                come[new_index..new_index + len].fill(false);
            }
        }
        let numbers: Vec<u32> = kept.iter().map(|(_, n)| *n).collect();
        let before = Text::new(&old, &(1..=old.len() as u32).collect::<Vec<_>>(), &gone);
        let after = Text::new(&plain, &numbers, &come);
        self.macros.extend(after.macros(path));
        self.types.extend(before.types(path).chain(after.types(path)));
        self.original.insert(path.into(), before);
        self.patched.insert(path.into(), after);
    }

    /// The text of a file that the fixes touch, by the compiler's name for it; `patched` says which of the two.
    pub fn text(&self, file: &str, patched: bool) -> Option<(&str, &Text)> {
        let all = if patched { &self.patched } else { &self.original };
        all.get_key_value(self.relative(file)).map(|(path, text)| (path.as_str(), text))
    }

    /// The compiler's number in the original for a line of the patched text that declares something within `function`: `number`
    /// itself in a file that the fixes leave alone. None for a line that the fixes add or change, and for one of which the text
    /// does not say which of several it is.
    ///
    /// Numbers alone do not tell: two blocks that change places have each other's. What tells is the text from that line on,
    /// as far down as it is there once before and once after.
    pub fn original_number(&self, file: &str, number: u64, function: &str) -> Option<u64> {
        let path = self.relative(file);
        let Some(new) = self.patched.get(path) else { return Some(number) };
        let old = self.original.get(path)?;
        let line = old.like(new, new.only(u32::try_from(number).ok()?, function)?)?;
        old.by_number.iter().find(|(_, lines)| lines.contains(&line)).map(|(&number, _)| u64::from(number))
    }

    /// Lines that the fixes touch in the definition of `function`, wherever the compiler says that its code comes from:
    /// what is returned last is often counted to the closing brace.
    pub fn within<'s>(&'s self, function: &'s str, patched: bool) -> impl Iterator<Item = (&'s str, &'s Line)> {
        let all = if patched { &self.patched } else { &self.original };
        all.iter().flat_map(move |(path, text)| text.within(function).map(move |line| (path.as_str(), line)))
    }

    /// Whether the fixes leave the definition of `function` in the file `path` alone, with all macros and types. False where that
    /// file has none that can be seen.
    pub fn leaves_alone(&self, path: &str, function: &str) -> bool {
        let texts = [self.original.get(path), self.patched.get(path)];
        let is_seen = |text: &Option<&Text>| text.is_some_and(|text| text.defines(function));
        let is_touched = |text: &Text| text.within(function).next().is_some();
        self.macros.is_empty()
            && self.types.is_empty()
            && texts.iter().all(is_seen)
            && !texts.into_iter().flatten().any(is_touched)
    }

    /// The compiler's name for a file, relative to the tree.
    pub fn relative<'f>(&self, file: &'f str) -> &'f str {
        let inside = match file.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix('/')) {
            Some(inside) if !self.root.is_empty() => inside,
            _ => file,
        };
        inside.trim_start_matches("./")
    }
}

impl Text {
    fn new(lines: &[&[u8]], numbers: &[u32], touched: &[bool]) -> Self {
        let mut text = Self::default();
        let mut head = 0;
        for (i, raw) in lines.iter().enumerate() {
            let clean = String::from_utf8_lossy(raw);
            if clean.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !clean.trim_end().ends_with(':') {
                head = i;
            }
            text.heads.push(head);
            text.by_number.entry(numbers[i]).or_default().push(i);
            text.lines.push(Line { number: i + 1, text: clean.trim().into(), touched: touched[i] });
        }
        text
    }

    /// The line that the compiler calls `number` within `function`; an index for [`Text::line`].
    fn index(&self, number: u32, function: &str) -> Option<usize> {
        let all = self.by_number.get(&number)?;
        let within = |i: &&usize| self.is_within(**i, function);
        all.iter().find(within).or_else(|| all.first().filter(|_| all.len() == 1)).copied()
    }

    /// The same where there is no doubt.
    fn only(&self, number: u32, function: &str) -> Option<usize> {
        let all = self.by_number.get(&number)?;
        let within: Vec<usize> = all.iter().copied().filter(|&i| self.is_within(i, function)).collect();
        match (within.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Some(*one),
            _ => None,
        }
    }

    fn is_within(&self, line: usize, function: &str) -> bool {
        let head = &self.lines[self.heads[line]].text;
        // The name may be on the line behind that of the type.
        let next = self.lines.get(self.heads[line] + 1).map_or("", |l| l.text.as_str());
        mentions(head, function) || mentions(next, function)
    }

    /// The line of this text that is line `at` of `other`: the texts from both on are the same, down to where they are there
    /// once in each.
    fn like(&self, other: &Self, at: usize) -> Option<usize> {
        fn text(of: &Text, line: usize) -> Option<&str> {
            of.lines.get(line).map(|line| line.text.as_str())
        }
        let (mut mine, mut theirs): (Vec<usize>, Vec<usize>) =
            ((0..self.lines.len()).collect(), (0..other.lines.len()).collect());
        for down in 0.. {
            let wanted = text(other, at + down);
            mine.retain(|line| text(self, line + down) == wanted);
            theirs.retain(|line| text(other, line + down) == wanted);
            match (mine.as_slice(), theirs.as_slice()) {
                ([], _) => return None,
                ([one], [_]) => return Some(*one),
                // Both texts are at their ends.
                _ if wanted.is_none() => return None,
                _ => {}
            }
        }
        None
    }

    /// The line that the compiler calls `number` within `function`.
    pub fn line(&self, number: u32, function: &str) -> Option<&Line> {
        self.index(number, function).map(|i| &self.lines[i])
    }

    /// The line that begins the definition in which the compiler's line `number` is.
    pub fn head(&self, number: u32, function: &str) -> Option<&Line> {
        self.index(number, function).map(|i| &self.lines[self.heads[i]])
    }

    /// The line that the fix touches in the statement that the compiler puts at `number`: the compiler names one line of
    /// a statement of several.
    pub fn touched(&self, number: u32, function: &str) -> Option<&Line> {
        const LONGEST: usize = 12;
        let start = self.index(number, function)?;
        for line in self.lines[start..].iter().take(LONGEST) {
            if line.touched && !matches!(line.text.as_str(), "" | "{" | "}") {
                return Some(line);
            }
            if line.text.is_empty() || line.text.ends_with([';', '{', '}', ':']) {
                return None;
            }
        }
        None
    }

    /// Structs, unions and enums of which a line is touched.
    fn types<'t>(&'t self, path: &'t str) -> impl Iterator<Item = String> + 't {
        let touched = self.lines.iter().zip(&self.heads).filter(|(line, _)| line.touched && !line.text.is_empty());
        touched.filter_map(move |(_, &head)| {
            let head = &self.lines[head];
            let name = head.text.strip_suffix('{')?.trim();
            let is_type = ["struct ", "union ", "enum "].iter().any(|kind| name.starts_with(kind));
            (is_type && !name.contains(['(', '='])).then(|| format!("{name} ({path}:{})", head.number))
        })
    }

    /// True where a definition of `function` begins.
    fn is_head(&self, head: usize, function: &str) -> bool {
        let next = self.lines.get(head + 1).map_or("", |l| l.text.as_str());
        let is_head = |text: &str| mentions(text, function) && !text.ends_with(';');
        is_head(&self.lines[head].text) || is_head(next)
    }

    fn defines(&self, function: &str) -> bool {
        self.heads.iter().any(|&head| self.is_head(head, function))
    }

    /// Lines that are touched in the definition of `function`.
    fn within<'s>(&'s self, function: &'s str) -> impl Iterator<Item = &'s Line> {
        let is_in = move |head: usize| self.is_head(head, function);
        let says = |line: &Line| line.touched && !matches!(line.text.as_str(), "" | "{" | "}");
        self.lines.iter().zip(&self.heads).filter(move |(line, &head)| says(line) && is_in(head)).map(|(line, _)| line)
    }

    /// Macros of which a line is touched.
    fn macros(&self, path: &str) -> Vec<Macro> {
        let mut found = Vec::new();
        let mut i = 0;
        while i < self.lines.len() {
            let first = &self.lines[i];
            let mut touched = first.touched;
            let mut last = i;
            while self.lines[last].text.ends_with('\\') && last + 1 < self.lines.len() {
                last += 1;
                touched |= self.lines[last].touched;
            }
            if let Some(rest) = first.text.strip_prefix('#').map(str::trim_start).and_then(|t| t.strip_prefix("define"))
            {
                let name: String =
                    rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if touched && !name.is_empty() {
                    found.push(Macro { name, file: path.into(), line: first.number });
                }
            }
            i = last + 1;
        }
        found
    }
}

/// True where `text` holds `word` as a word.
pub fn mentions(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !word.is_empty()
        && text
            .match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::lines::keep_numbers;

    const OLD: &str = "#define TWO 2\n\nstatic int one(int x)\n{\n\treturn x + 1;\n}\n\nint two(int x)\n{\n\treturn one(x) + TWO;\n}\n";
    const NEW: &str = "#define TWO 3\n\nstatic int one(int x)\n{\n\tif (x < 0)\n\t\treturn 0;\n\treturn x + 1;\n}\n\nint two(int x)\n{\n\treturn one(x) + TWO;\n}\n";

    fn fixed() -> Fixed {
        Fixed::between("/tmp/linux", "a/b.c", OLD.as_bytes(), &keep_numbers(OLD.as_bytes(), NEW.as_bytes()))
    }

    #[test]
    fn numbers_are_those_of_the_compiler() {
        let fixed = fixed();
        let (path, text) = fixed.text("./a/b.c", true).unwrap();
        assert_eq!(path, "a/b.c");
        // The compiler's line 8 is the end of one(), and with #line the beginning of two().
        assert_eq!(text.line(8, "one").unwrap().text, "}");
        assert_eq!(text.line(8, "two").unwrap().number, 10);
        assert_eq!(text.line(10, "two").unwrap().text, "return one(x) + TWO;");
        assert_eq!(text.line(5, "one").unwrap(), &Line { number: 5, text: "if (x < 0)".into(), touched: true });
        assert!(!text.line(7, "one").unwrap().touched);
        assert_eq!(text.line(99, "one"), None);
    }

    #[test]
    fn functions_that_the_fix_leaves_alone() {
        let of = |new: &str| Fixed::between("/tmp/linux", "a/b.c", OLD.as_bytes(), new.as_bytes());
        let fixed = of(&NEW.replace("TWO 3", "TWO 2"));
        assert!(fixed.leaves_alone("a/b.c", "two"));
        assert!(!fixed.leaves_alone("a/b.c", "one"));
        assert!(!fixed.leaves_alone("a/b.c", "three") && !fixed.leaves_alone("a/c.c", "two"));
        // A macro may be used anywhere.
        assert!(!of(NEW).leaves_alone("a/b.c", "two"));
    }

    /// Lines of f() in the original and the patched text, by what is found there first; what the lines of the patched were.
    fn declared(old: &str, new: &str, word: &str) -> Vec<(usize, Option<u64>)> {
        let kept = keep_numbers(old.as_bytes(), new.as_bytes());
        let fixed = Fixed::between("", "f.c", old.as_bytes(), &kept);
        let (_, text) = fixed.text("f.c", true).unwrap();
        let mut found = Vec::new();
        for (&number, lines) in &text.by_number {
            for &line in lines.iter().filter(|&&line| text.lines[line].text.contains(word)) {
                let head = &text.lines[text.heads[line]].text;
                let function = head.split(['(', ' ']).nth(1).unwrap();
                found.push((line + 1, fixed.original_number("f.c", u64::from(number), function)));
            }
        }
        found.sort_unstable();
        found
    }

    const BLOCKS: &str = "int f(int x)\n{\n\tif (x) {\n\t\tstatic int n;\n\t\tn += x;\n\t} else {\n\t\tstatic int n;\n\t\tn -= x;\n\t}\n\treturn 0;\n}\n";

    #[test]
    fn a_line_that_is_there_twice_is_told_by_what_follows_it() {
        let same = [(4, Some(4)), (7, Some(7))];
        assert_eq!(declared(BLOCKS, BLOCKS, "static int n"), same);
        // Lines that come before, between and behind.
        let more = BLOCKS.replace("\tif (x) {\n", "\tx++;\n\tif (x) {\n");
        assert_eq!(declared(BLOCKS, &more, "static int n"), [(5, Some(4)), (8, Some(7))]);
        let more = BLOCKS.replace("\t} else {\n", "\t\tx = 1;\n\t} else {\n");
        assert_eq!(declared(BLOCKS, &more, "static int n"), [(4, Some(4)), (8, Some(7))]);
        // Blocks of the same length that change places have each other's numbers.
        let exchanged = BLOCKS.replace("n += x", "n ~ x").replace("n -= x", "n += x").replace("n ~ x", "n -= x");
        assert_eq!(declared(BLOCKS, &exchanged, "static int n"), [(4, Some(7)), (7, Some(4))]);
        // What uses it is another in one block.
        let changed = BLOCKS.replace("n -= x", "n -= 2 * x");
        assert_eq!(declared(BLOCKS, &changed, "static int n"), [(4, Some(4)), (7, None)]);
        // A third of the same text; a copy of a block.
        let third = BLOCKS.replace("\treturn 0;\n", "\t{\n\t\tstatic int n;\n\t\tn *= 2;\n\t}\n\treturn 0;\n");
        assert_eq!(declared(BLOCKS, &third, "static int n"), [(4, Some(4)), (7, Some(7)), (11, None)]);
        let copy = BLOCKS.replace("\treturn 0;\n", "\t{\n\t\tstatic int n;\n\t\tn -= x;\n\t}\n\treturn 1;\n");
        assert_eq!(declared(BLOCKS, &copy, "static int n"), [(4, Some(4)), (7, None), (11, None)]);
        // A file that the fixes leave alone has its own numbers.
        assert_eq!(fixed().original_number("include/linux/x.h", 7, "f"), Some(7));
    }

    #[test]
    fn a_number_that_two_lines_have_is_that_of_the_function() {
        let two = format!("{BLOCKS}\n{}", BLOCKS.replace("int f", "int g"));
        let more = two.replacen("\tif (x) {\n", "\tx++;\n\tx++;\n\tx++;\n\tif (x) {\n", 1);
        let want = [(7, Some(4)), (10, Some(7)), (19, Some(16)), (22, Some(19))];
        // Of both functions the rest is the same: the first one's is told by g(), which follows it.
        assert_eq!(declared(&two, &more, "static int n"), want);
        let ends = "int f(void)\n{\n\tg(1);\n}";
        assert_eq!(declared(ends, ends, "g(1)"), [(3, Some(3))]);
    }

    #[test]
    fn macros_and_files() {
        let fixed = fixed();
        assert_eq!(fixed.macros, [Macro { name: "TWO".into(), file: "a/b.c".into(), line: 1 }]);
        assert!(fixed.text("/tmp/linux/a/b.c", false).is_some());
        assert!(fixed.text("/tmp/linux/./a/b.c", false).is_some());
        assert!(fixed.text("x/a/b.c", false).is_none(), "another file");
        assert!(fixed.text("/tmp/linux/x/a/b.c", false).is_none(), "another file");
        assert!(fixed.text("/tmp/linuxa/b.c", false).is_none());
        assert!(fixed.text("/tmp/linux/xa/b.c", false).is_none());
        assert!(mentions("x = TWO;", "TWO") && !mentions("x = TWOS;", "TWO") && !mentions("x", ""));
    }

    #[test]
    fn statements_of_several_lines() {
        let (old, new) = (
            "int f(int x)\n{\n\tcall(x,\n\t     1);\n\treturn 2;\n}\n",
            "int f(int x)\n{\n\tcall(x,\n\t     2);\n\treturn 2;\n}\n",
        );
        let fixed = Fixed::between("", "f.c", old.as_bytes(), new.as_bytes());
        let (_, text) = fixed.text("f.c", true).unwrap();
        assert_eq!(text.touched(3, "f").unwrap().number, 4);
        assert_eq!(text.touched(5, "f"), None);
    }
}
