// SPDX-License-Identifier: GPL-2.0-or-later
//! A header that several units include, and a change to a function in it: which of the units are left, by the machine's own
//! preprocessor.

use super::*;
use crate::source;
use crate::target::sample::target;

/// `central.h` before and after the fix.
const BEFORE: &str = "static inline int skb_room(int a)\n{\n\treturn a;\n}\nstatic inline int by_room(int a)\n{\n\treturn skb_room(a) + 1;\n}\n";
const AFTER: &str = "static inline int skb_room(int a)\n{\n\treturn a + 2;\n}\nstatic inline int by_room(int a)\n{\n\treturn skb_room(a) + 1;\n}\n";

struct Bench {
    dir: tempfile::TempDir,
    target: Target,
}

impl Bench {
    /// A tree with these units, all of which include `central.h`, and `paste.h`.
    fn new(units: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        files::write(&tree.join("central.h"), BEFORE.as_bytes()).unwrap();
        files::write(&tree.join("paste.h"), b"#define __JOIN(a, b) a##b\n#define JOIN(a, b) __JOIN(a, b)\n").unwrap();
        files::write(&tree.join("part.c"), b"int part(void) { return by_room(1); }\n").unwrap();
        for (name, text) in units {
            let text = format!("#include \"central.h\"\n#include \"paste.h\"\n{text}\n");
            files::write(&tree.join(name), text.as_bytes()).unwrap();
            let stem = name.rsplit_once('.').unwrap().0;
            let saved =
                format!("savedcmd_{stem}.o := gcc -Wp,-MMD,.{stem}.o.d -O2 -D__KERNEL__ -c -o {stem}.o {name}\n");
            files::write(&tree.join(format!(".{stem}.o.cmd")), saved.as_bytes()).unwrap();
        }
        // What is preprocessed while an input is being edited is not kept: let the inputs grow old.
        std::thread::sleep(Duration::from_millis(20));
        Self { target: target(&tree, Path::new("/")), dir }
    }

    /// The sources of the units that are left, with who sees what the fixes change.
    fn left(&self, units: &[(&str, &str)], seers: &[(&str, Seers)], limit: usize) -> Result<Vec<String>> {
        let fix = similar::TextDiff::from_lines(BEFORE, AFTER);
        let fix = fix.unified_diff().header("a/central.h", "b/central.h").to_string();
        let path = self.dir.path().join("x.patch");
        files::write(&path, fix.as_bytes())?;
        let work = tempfile::tempdir_in(self.dir.path())?;
        let tree = source::apply(&self.target, &[path], work.path())?;
        let unit = |name: &str| {
            let object = format!("{}.o", name.rsplit_once('.').unwrap().0);
            Unit { source: name.into(), object, module: None }
        };
        let doubtful = units.iter().map(|(name, _)| unit(name)).collect();
        let seers = seers.iter().map(|(path, seers)| (path.to_string(), seers.clone())).collect();
        let affected = Affected { doubtful, seers, ..Affected::default() };
        let cache = Cache::at(&self.target, self.dir.path().join("objects"));
        let left = narrow_with(cache, &self.target, &tree, affected, Limit(limit), work.path())?;
        Ok(left.units.into_iter().map(|u| u.source).collect())
    }
}

fn room(units: &[(&str, &str)], renamed: &[&str]) -> Seers {
    Seers {
        files: units.iter().map(|(name, _)| name.to_string()).collect(),
        names: BTreeSet::from([b"skb_room".to_vec()]),
        renamed: renamed.iter().map(ToString::to_string).collect(),
        ..Seers::default()
    }
}

/// All ways to a function that the text does not show.
const UNITS: [(&str, &str); 11] = [
    ("plain.c", "int f(void) { return skb_room(1); }"),
    ("through.c", "int f(void) { return by_room(1); }"),
    ("short.c", "int f(void) { return JOIN(skb_, room)(1); }"),
    ("nested.c", "int f(void) { return JOIN(JOIN(sk, b_), JOIN(ro, om))(1); }"),
    ("named.c", "#define CALL1(a, b) a##b\n#define CALL(n) CALL##n(skb_, room)(1)\nint f(void) { return CALL(1); }"),
    ("object.c", "#define ALIAS JOIN\nint f(void) { return ALIAS(skb_, room)(1); }"),
    ("string.c", "int f(void) { asm(\"call skb_room\"); return 1; }"),
    ("include.c", "#define PART \"part.c\"\n#include PART"),
    ("code.S", "#define CALL(x) call x##_room\n#ifdef NEVER\n#endif"),
    ("unused.c", "static inline int g(void) { return skb_room(1); }\nint f(void) { return 1; }"),
    ("none.c", "#define skb room\nint f(int skb_rooms) { return JOIN(skb_, rooms); }"),
];

#[test]
fn the_preprocessor_says_who_refers_to_a_function() {
    let bench = Bench::new(&UNITS);
    let seen = ["include.c", "named.c", "nested.c", "object.c", "plain.c", "short.c", "string.c", "through.c"];
    let units: Vec<_> = UNITS.into_iter().filter(|(name, _)| *name != "code.S").collect();
    // Whether kept or not, and by what is kept.
    for _ in 0..2 {
        let left = bench.left(&units, &[("central.h", room(&units, &[]))], 20).unwrap();
        assert_eq!(left.iter().filter(|u| *u != "string.c").count(), seen.len() - 1);
        assert!(left.iter().all(|u| seen.contains(&u.as_str())), "{left:?}");
    }
    // Each was compared as a whole without the names: none was left out that differs.
    let all = bench.left(&units, &[], 20).unwrap();
    let by_name = bench.left(&units, &[("central.h", room(&units, &[]))], 20).unwrap();
    assert_eq!(all, by_name);
}

#[test]
fn a_unit_in_which_the_function_may_have_another_name_is_compared() {
    let units = [("other.c", "int f(void) { return other(1); }"), ("none.c", "int f(void) { return 1; }")];
    let bench = Bench::new(&units);
    let text = format!("#define skb_room other\n#include \"central.h\"\n{}\n", units[0].1);
    files::write(&bench.target.tree.join("other.c"), text.as_bytes()).unwrap();
    assert_eq!(bench.left(&units, &[("central.h", room(&units, &["other.c"]))], 20).unwrap(), ["other.c"]);
}

#[test]
fn too_many_that_refer_to_it_are_refused() {
    let names: Vec<String> = (0..12).map(|n| format!("u{n}.c")).collect();
    let units: Vec<_> = names.iter().map(|name| (name.as_str(), UNITS[0].1)).collect();
    let bench = Bench::new(&units);
    let refused = |limit| {
        let error = bench.left(&units, &[("central.h", room(&units, &[]))], limit).unwrap_err();
        let refusal = error.downcast::<Refused>().unwrap().0.remove(0);
        assert_eq!(refusal.code, "reaches-too-many");
        refusal.hint
    };
    assert!(refused(1).contains("--max-units 12, roughly 1 minute "), "{}", refused(1));
    assert!(refused(11).contains("--max-units 12, roughly 1 minute "), "{}", refused(11));
    assert_eq!(bench.left(&units, &[("central.h", room(&units, &[]))], 12).unwrap().len(), 12);
}

#[test]
fn the_rest_of_the_time() {
    assert_eq!(left(Duration::from_secs(60), 100, 1000), ", about 9 minutes left");
    assert_eq!(left(Duration::from_secs(60), 1000, 1000), "");
    assert_eq!(left(Duration::from_secs(1), 1, 1000), "");
}
