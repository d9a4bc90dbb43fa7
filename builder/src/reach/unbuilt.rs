// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a kernel does not contain a file: its path and the target's makefiles in, a sentence out.

use crate::target::Target;

/// The line of the makefile that leaves `source` out, with the option that decides it, as far as that is plain text.
pub(super) fn why_unbuilt(target: &Target, source: &str) -> String {
    let config = std::fs::read_to_string(&target.config)
        .or_else(|_| std::fs::read_to_string(target.tree.join(".config")))
        .unwrap_or_default();
    let stem = source.strip_suffix(".c").or(source.strip_suffix(".S")).map_or(source.into(), |s| format!("{s}.o"));
    let mut dir = source;
    let mut name = stem.rsplit('/').next().unwrap_or_default().to_string();
    // The makefile of the file's own folder names the object; those above it name the folder.
    while let Some((above, last)) = dir.rsplit_once('/') {
        if dir != source {
            name = format!("{last}/");
        }
        for makefile in ["Kbuild", "Makefile"] {
            let path = format!("{above}/{makefile}");
            let Ok(text) = std::fs::read_to_string(target.tree.join(&path)) else { continue };
            if let Some(reason) = option_off(&text, &name, &config) {
                return format!("{path}, {reason}");
            }
        }
        dir = above;
    }
    "no makefile of this configuration builds it or a file that includes it".into()
}

/// Finds the lines that name `name`, if all of them depend on options that `config` does not set.
fn option_off(makefile: &str, name: &str, config: &str) -> Option<String> {
    let is_on = |option: &str| {
        config.lines().any(|l| l.strip_prefix(option).is_some_and(|r| r.starts_with("=y") || r.starts_with("=m")))
    };
    let mut name = name.to_string();
    // At most: the object in a composite, the composite in obj-$(CONFIG_…).
    for _ in 0..2 {
        let (mut line, mut options, mut composite) = (0, Vec::new(), None);
        let mut left = (0, "");
        for (i, text) in makefile.lines().enumerate() {
            let right = match text.split_once("+=").or(text.split_once(":=")) {
                Some((name, right)) => {
                    left = (i + 1, name.trim());
                    right
                }
                None => text,
            };
            if !right.split_whitespace().any(|w| w == name) {
                continue;
            }
            match left.1.split_once("$(").and_then(|(_, o)| o.strip_suffix(')')) {
                Some(option) if is_on(option) => return None,
                Some(option) => (line, options) = (left.0, [options, vec![option]].concat()),
                None => composite = Some(left.1.strip_suffix("-y").or(left.1.strip_suffix("-objs"))?.to_string()),
            }
        }
        match composite {
            Some(whole) if options.is_empty() && whole != "obj" && whole != "lib" => name = format!("{whole}.o"),
            Some(_) => return None,
            None if options.is_empty() => return None,
            None => {
                options.dedup();
                return Some(format!("line {line}: it needs {}, which this kernel does not set", options.join(" or ")));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_leave_files_out() {
        let makefile = "obj-y += on.o\nobj-$(CONFIG_A)\t+= a.o\nobj-$(CONFIG_B) += bc.o\nbc-y := b.o \\\n\tc.o\nobj-$(CONFIG_D)/\n";
        let config = "CONFIG_A=m\n# CONFIG_B is not set\n";
        let off = |name: &str| option_off(makefile, name, config);
        assert_eq!(off("a.o"), None);
        assert_eq!(off("c.o").unwrap(), "line 3: it needs CONFIG_B, which this kernel does not set");
        assert_eq!(off("bc.o").unwrap(), "line 3: it needs CONFIG_B, which this kernel does not set");
        assert_eq!(off("none.o"), None);
        assert_eq!(off("on.o"), None);
        let makefile = "obj-$(CONFIG_B) += x/\nobj-$(CONFIG_C) += x/\nobj-$(CONFIG_B) += y/\nobj-$(CONFIG_A) += y/\n";
        assert_eq!(
            option_off(makefile, "x/", config).unwrap(),
            "line 2: it needs CONFIG_B or CONFIG_C, which this kernel does not set"
        );
        assert_eq!(option_off(makefile, "y/", config), None);
    }
}
