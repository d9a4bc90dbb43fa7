// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads kbuild's saved command of a unit (`.foo.o.cmd`) into words, and changes what has to differ: where the
//! object and the dependency list go, and which flags are added.

use anyhow::{bail, Context, Result};

/// The compiler call that kbuild saved for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Compiler and arguments, without the object's and the dependency list's place.
    pub argv: Vec<String>,
    /// The source, as kbuild spells it.
    pub source: String,
    /// The object, as kbuild spells it.
    pub object: String,
}

/// What kbuild may run on an object after the compiler; it is left to the final link.
const AFTER: &[&str] = &["objtool", "recordmcount", "recordmcount.pl"];

impl Saved {
    /// Reads the text of a `.cmd` file.
    pub fn read(text: &str) -> Result<Self> {
        let line = text
            .lines()
            .find(|l| l.starts_with("savedcmd_") || l.starts_with("cmd_"))
            .context("it holds no saved command (savedcmd_… := …)")?;
        let (name, command) = line.split_once(" := ").context("its saved command cannot be read")?;
        let object = name.trim_start_matches("saved").trim_start_matches("cmd_").to_string();
        let mut calls = split(&unmake(command)?)?.into_iter();
        let words = calls.next().filter(|w| !w.is_empty()).context("its saved command is empty")?;
        for call in calls {
            let program = call.first().map(String::as_str).unwrap_or_default();
            let base = program.rsplit('/').next().unwrap_or_default();
            if !AFTER.contains(&base) {
                bail!("kbuild runs {base:?} on this object after the compiler, which kmend does not know");
            }
        }
        Self::from_words(words, object)
    }

    fn from_words(words: Vec<String>, object: String) -> Result<Self> {
        let mut argv = Vec::with_capacity(words.len());
        let (mut source, mut compiles) = (None, false);
        let mut words = words.into_iter().peekable();
        if words.next_if(|w| matches!(w.rsplit('/').next(), Some("ccache" | "distcc"))).is_some()
            && words.peek().is_none()
        {
            bail!("its saved command calls no compiler");
        }
        while let Some(word) = words.next() {
            match word.as_str() {
                "-o" => {
                    let to = words.next().context("its saved command ends in -o")?;
                    if to != object {
                        bail!("its saved command makes {to}, not {object}");
                    }
                }
                // `-S` for a file that becomes a header (`reach/generated.rs`).
                "-c" | "-S" => compiles = true,
                // These take the next word, which is no source then.
                "-include" | "-imacros" | "-isystem" | "-iquote" | "-I" | "-D" | "-U" | "-x" | "--param" | "-mllvm" => {
                    let value = words.next().with_context(|| format!("its saved command ends in {word}"))?;
                    argv.extend([word, value]);
                }
                w if w.starts_with("-Wp,-MD,") || w.starts_with("-Wp,-MMD,") => {}
                w if !argv.is_empty() && !w.starts_with('-') => {
                    if let Some(other) = source.replace(word.clone()) {
                        bail!("its saved command names two sources, {other} and {word}");
                    }
                }
                _ => argv.push(word),
            }
        }
        let source = source.context("its saved command names no source")?;
        if !compiles || argv.is_empty() {
            bail!("its saved command is no call of a C compiler with -c or -S");
        }
        Ok(Self { argv, source, object })
    }

    /// The same command with `flags` behind kbuild's own.
    pub fn with_flags(mut self, flags: &[String]) -> Self {
        self.argv.extend_from_slice(flags);
        self
    }

    /// The full call: writes the object to `object` and its dependencies to `deps`, the compiler's own headers among them; `flags` come
    /// last.
    pub fn call(&self, object: &str, deps: &str, flags: &[&str]) -> Vec<String> {
        let mut call = self.argv.clone();
        call.extend(flags.iter().map(|f| f.to_string()));
        call.extend([format!("-Wp,-MD,{deps}"), "-c".into(), "-o".into(), object.into(), self.source.clone()]);
        call
    }

    /// The call that stops at the assembly; the arguments are those of [`Saved::call`].
    pub fn to_assembly(&self, assembly: &str, deps: &str, flags: &[&str]) -> Vec<String> {
        let mut call = self.call(assembly, deps, flags);
        call.iter_mut().rev().filter(|w| *w == "-c").take(1).for_each(|w| *w = "-S".into());
        call
    }

    /// The call that stops behind the preprocessor and leaves out where each line is from.
    pub fn preprocess(&self, text: &str, deps: &str, flags: &[&str]) -> Vec<String> {
        let mut call = self.call(text, deps, &[flags, &["-P"]].concat());
        call.iter_mut().rev().filter(|w| *w == "-c").take(1).for_each(|w| *w = "-E".into());
        call
    }

    /// The call that assembles what [`Saved::to_assembly`] made.
    pub fn assemble(&self, assembly: &str, object: &str) -> Vec<String> {
        let mut call = self.argv.clone();
        call.extend(["-c", "-o", object, assembly].map(String::from));
        call
    }

    /// True where the compiler leaves room for ftrace at the entries of functions. Sources: CC_FLAGS_FTRACE in Makefile and
    /// arch/*/Makefile. Room in front of an entry (`=16,16`) is for other things.
    pub fn is_traced(&self) -> bool {
        let behind = |room: &str| {
            let (all, before) = room.split_once(',').unwrap_or((room, "0"));
            all.parse::<u32>().ok() > before.parse().ok()
        };
        self.argv.iter().any(|w| match w.strip_prefix("-fpatchable-function-entry=") {
            Some(room) => behind(room),
            None => matches!(w.as_str(), "-mfentry" | "-mprofile-kernel" | "-pg"),
        })
    }

    /// True when the object becomes part of a module.
    pub fn for_module(&self) -> bool {
        self.argv.iter().any(|w| w == "-DMODULE")
    }

    /// KBUILD_MODNAME: the module, or what it would be called; underscores for dashes.
    pub fn modname(&self) -> Option<&str> {
        let value = self.argv.iter().find_map(|w| w.strip_prefix("-DKBUILD_MODNAME="))?;
        Some(value.trim_matches(['"', '\'']))
    }

    /// The klp objects that the object is linked into: None for vmlinux. A file that several modules share is compiled
    /// once, and its KBUILD_MODNAME names them all (`a:b`).
    pub fn linked_into(&self) -> Vec<Option<String>> {
        if !self.for_module() {
            return vec![None];
        }
        let names = self.modname().unwrap_or_default().split(':').filter(|n| !n.is_empty());
        names.map(|n| Some(n.to_string())).collect()
    }

    /// Why this is no code of the running kernel's own, if so: vdso, boot loader stub, purgatory …
    pub fn not_kernel(&self) -> Option<&'static str> {
        let has = |flag: &str| {
            self.argv.iter().any(|w| w == flag || w.strip_prefix(flag).is_some_and(|r| r.starts_with('=')))
        };
        if !has("-D__KERNEL__") {
            return Some("it is not compiled as kernel code (no -D__KERNEL__)");
        }
        if self.argv.iter().any(|w| w.starts_with("-DBUILD_VDSO")) {
            return Some("it becomes part of the vdso, which runs in user space");
        }
        let pic = self.argv.iter().rev().find_map(|w| match w.as_str() {
            "-fPIC" | "-fpic" | "-fPIE" | "-fpie" => Some(true),
            "-fno-PIC" | "-fno-pic" | "-fno-PIE" | "-fno-pie" => Some(false),
            _ => None,
        });
        let x86 = self.argv.iter().any(|w| w.starts_with("-mcmodel=") || w == "-m64" || w == "-m32" || w == "-m16");
        let kernel_model =
            self.argv.iter().rev().find(|w| w.starts_with("-mcmodel=")).is_some_and(|w| w == "-mcmodel=kernel");
        if x86 && self.argv.iter().any(|w| w == "-mno-red-zone") && (pic == Some(true) || !kernel_model) {
            return Some("it is compiled to run at another address than the kernel (boot code, vdso or purgatory)");
        }
        None
    }

    /// A flag that makes the object something that cannot be compared, if there is one.
    pub fn unusable_flag(&self) -> Option<&str> {
        self.argv.iter().map(String::as_str).find(|w| w.starts_with("-flto") && *w != "-fno-lto")
    }
}

/// Undoes what kbuild's make-cmd did to a command to store it in a makefile.
fn unmake(command: &str) -> Result<String> {
    let text = command.replace("$(pound)", "#").replace("\\#", "#");
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '$' && chars.next() != Some('$') {
            bail!("its saved command holds a make variable");
        }
        out.push(c);
    }
    Ok(out)
}

/// Splits a shell command into calls and their words. Expansions and redirections are refused: nothing here
/// knows what they would become.
fn split(command: &str) -> Result<Vec<Vec<String>>> {
    let mut calls = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_with(String::new);
                loop {
                    match chars.next().context("its saved command has an open '")? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_with(String::new);
                loop {
                    match chars.next().context("its saved command has an open \"")? {
                        '"' => break,
                        '\\' => match chars.next().context("its saved command ends in a backslash")? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        '$' | '`' => bail!("its saved command has a shell expansion"),
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                let c = chars.next().context("its saved command ends in a backslash")?;
                word.get_or_insert_with(String::new).push(c);
            }
            '$' | '`' | '<' | '>' | '(' | ')' | '*' | '?' | '[' => bail!("its saved command has an unquoted {c:?}"),
            '#' if word.is_none() => bail!("its saved command has a comment"),
            ';' | '&' | '|' => {
                if c != ';' && chars.next_if_eq(&c).is_none() || c == '|' {
                    bail!("its saved command has an unquoted {c:?}");
                }
                last(&mut calls).extend(word.take());
                if !last(&mut calls).is_empty() {
                    calls.push(Vec::new());
                }
            }
            c if c.is_whitespace() => last(&mut calls).extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    last(&mut calls).extend(word);
    calls.retain(|c| !c.is_empty());
    Ok(calls)
}

fn last(calls: &mut Vec<Vec<String>>) -> &mut Vec<String> {
    if calls.is_empty() {
        calls.push(Vec::new());
    }
    let end = calls.len() - 1;
    &mut calls[end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CMD: &str = "savedcmd_a/b.o := gcc-16 -Wp,-MMD,a/.b.o.d -nostdinc -I./include -include ./x.h -D__KERNEL__ \
        -mno-red-zone -mcmodel=kernel -fno-PIE -g -DMODULE -DKBUILD_BASENAME='\"b\"' -DKBUILD_MODNAME='\"a_b\"' -c -o a/b.o a/b.c  ; \
        ./tools/objtool/objtool --hacks=jump_label --module a/b.o\n\nsource_a/b.o := a/b.c\n";

    #[test]
    fn reads_a_saved_command() {
        let saved = Saved::read(CMD).unwrap();
        assert_eq!((saved.source.as_str(), saved.object.as_str()), ("a/b.c", "a/b.o"));
        assert!(saved.for_module());
        assert_eq!(saved.modname(), Some("a_b"));
        assert_eq!(saved.linked_into(), [Some("a_b".to_string())]);
        let shared = Saved::read(&CMD.replace("a_b", "a_b:c")).unwrap();
        assert_eq!(shared.linked_into(), [Some("a_b".to_string()), Some("c".to_string())]);
        assert_eq!(Saved::read(&CMD.replace("-DMODULE ", "")).unwrap().linked_into(), [None]);
        assert_eq!(
            saved.preprocess("t", "d", &[]).join(" "),
            saved.call("t", "d", &["-P"]).join(" ").replace(" -c ", " -E ")
        );
        assert_eq!(saved.not_kernel(), None);
        assert_eq!(saved.unusable_flag(), None);
        for (flags, is_traced) in [
            ("-pg -mrecord-mcount -mfentry -fpatchable-function-entry=16,16", true),
            ("-fpatchable-function-entry=16,16 -DCC_USING_FENTRY", false),
            ("-fpatchable-function-entry=1", true),
            ("-fpatchable-function-entry=2,1", true),
            ("-mprofile-kernel", true),
            ("-fpatchable-function-entry=x", false),
            ("-O2", false),
        ] {
            let flags: Vec<String> = flags.split(' ').map(String::from).collect();
            assert_eq!(saved.clone().with_flags(&flags).is_traced(), is_traced, "{flags:?}");
        }
        let call = saved.call("/w/o", "/w/d", &["-fdata-sections"]).join(" ");
        assert_eq!(
            call,
            "gcc-16 -nostdinc -I./include -include ./x.h -D__KERNEL__ -mno-red-zone -mcmodel=kernel -fno-PIE -g -DMODULE \
             -DKBUILD_BASENAME=\"b\" -DKBUILD_MODNAME=\"a_b\" -fdata-sections -Wp,-MD,/w/d -c -o /w/o a/b.c"
        );
        // The name that older kbuilds give it.
        assert_eq!(Saved::read(&CMD.replace("savedcmd_", "cmd_")).unwrap(), saved);
    }

    #[test]
    fn tells_code_that_is_not_the_kernels() {
        let read = |from: &str, to: &str| Saved::read(&CMD.replace(from, to)).unwrap().not_kernel();
        assert!(read("-fno-PIE", "-fno-PIE -fPIC").unwrap().contains("another address"));
        assert!(read("-mcmodel=kernel", "-mcmodel=small").unwrap().contains("another address"));
        assert!(read("-g ", "-DBUILD_VDSO64 ").unwrap().contains("vdso"));
        assert!(read("-D__KERNEL__", "-D_SETUP").unwrap().contains("__KERNEL__"));
        // powerpc has a code model of its own and no red zone flag.
        assert_eq!(read("-mno-red-zone -mcmodel=kernel", "-mcmodel=medium"), None);
    }

    #[test]
    fn refuses_what_it_cannot_know() {
        let fails = |from: &str, to: &str| format!("{:#}", Saved::read(&CMD.replace(from, to)).unwrap_err());
        assert!(fails("./tools/objtool/objtool", "objcopy").contains("\"objcopy\""));
        assert!(fails("-g", "-DX=$$(date)").contains("unquoted"));
        assert!(fails("-g", "$(FLAGS)").contains("make variable"));
        assert!(fails("-o a/b.o a", "-o c.o a").contains("makes c.o"));
        assert!(fails("-g", "x.c").contains("two sources"));
        assert!(fails(" -c ", " ").contains("-c"));
        assert!(fails("savedcmd_", "x_").contains("no saved command"));
        assert!(fails("-g", "| tee").contains("unquoted '|'"));
        assert!(fails("-g", "> x").contains("unquoted '>'"));
    }

    #[test]
    fn splits_like_a_shell() {
        let words = |s: &str| split(s).unwrap().concat();
        assert_eq!(words(r#"a 'b c'"d"\ e "" "x\"y\n""#), ["a", "b cd e", "", "x\"y\\n"]);
        assert_eq!(split("a b; c && d ;").unwrap(), [vec!["a", "b"], vec!["c"], vec!["d"]]);
        assert_eq!(split("; ;").unwrap(), Vec::<Vec<String>>::new());
        for bad in ["'a", "\"a", "a\\", "a & b", "a|b", "a || b", "a $b", "\"$b\"", "#x"] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(unmake("a $(pound)b $$c \\#").unwrap(), "a #b $c #");
    }
}
