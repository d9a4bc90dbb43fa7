// SPDX-License-Identifier: GPL-2.0-or-later
//! What the manual pages of kmend say beyond the help of its commands.

use kmend_shared::manual::Page;

const EXITS: &[(&str, &str)] = &[("0", "done"), ("1", "an error, or a mistake on the command line")];

const INSTALLED: (&str, &str) = ("/var/lib/kpatch/VER", "live patches that were installed for the kernel VER");
const PACKAGED: (&str, &str) = ("/usr/lib/kpatch/VER", "those of packages and images");
const LOCK: (&str, &str) = ("/var/lib/kpatch/.lock", "held by the one kmend that changes something");
const NOTES: (&str, &str) =
    ("/var/lib/kmend", "notes: loads under way, versions set aside, what failed, what can be had");
const SETTING: (&str, &str) = ("/etc/kmend.conf", "whether live patches have to be signed, and by whom");
const LOADED: (&str, &str) = ("/sys/kernel/livepatch", "the live patches of the running kernel");

const DOCS: &[&str] = &["kmend-build(1)", "/usr/share/doc/kmend", "https://docs.kernel.org/livepatch/livepatch.html"];

const NONE: Page = Page { command: "", exits: EXITS, environment: &[], files: &[], examples: &[], see: DOCS };

/// A page for each command that people call.
pub const PAGES: &[Page] = &[
    Page {
        command: "kmend",
        files: &[INSTALLED, PACKAGED, LOCK, NOTES, SETTING, LOADED],
        environment: &[("NO_COLOR", "no colours, also on a terminal")],
        examples: &[
            ("Is this host patched?", "kmend status"),
            ("Is this CVE fixed here?", "kmend cve CVE-2026-12345"),
            ("Have live patches come with the system's updates:", "kmend subscribe auto"),
        ],
        ..NONE
    },
    Page {
        command: "kmend status",
        exits: &[],
        files: &[INSTALLED, PACKAGED, NOTES, LOADED],
        examples: &[
            ("Is this host patched?", "kmend status"),
            ("The same for Nagios:", "kmend status --nagios"),
            ("For node_exporter:", "kmend status --prometheus /var/lib/node_exporter/kmend.prom"),
        ],
        ..NONE
    },
    Page {
        command: "kmend cve",
        exits: &[],
        files: &[INSTALLED, PACKAGED, LOADED],
        examples: &[("All that are known:", "kmend cve"), ("These:", "kmend cve CVE-2026-12345 CVE-2026-12346")],
        ..NONE
    },
    Page {
        command: "kmend uname",
        files: &[LOADED],
        examples: &[("The kernel, and what is live in it:", "kmend uname"), ("One word:", "kmend uname -r")],
        ..NONE
    },
    Page {
        command: "kmend list",
        files: &[INSTALLED, PACKAGED, LOADED],
        examples: &[("Loaded and installed live patches:", "kmend list")],
        ..NONE
    },
    Page {
        command: "kmend install",
        files: &[INSTALLED, LOCK, SETTING],
        examples: &[
            ("For the running kernel:", "kmend install kmend_demo.ko"),
            ("For another one:", "kmend install -k 7.2.12+deb14-amd64 kmend_demo.ko"),
        ],
        ..NONE
    },
    Page {
        command: "kmend uninstall",
        files: &[INSTALLED, LOCK, NOTES],
        examples: &[("For the running kernel:", "kmend uninstall kmend_demo")],
        ..NONE
    },
    Page {
        command: "kmend load",
        files: &[INSTALLED, PACKAGED, LOCK, NOTES, SETTING, LOADED],
        examples: &[
            ("A file:", "kmend load kmend_demo.ko"),
            ("The newest of each stream, as kpatch.service does at boot:", "kmend load --all"),
        ],
        ..NONE
    },
    Page {
        command: "kmend unload",
        files: &[LOCK, LOADED],
        examples: &[("One:", "kmend unload kmend_demo"), ("All:", "kmend unload --all")],
        ..NONE
    },
    Page {
        command: "kmend info",
        files: &[INSTALLED, PACKAGED, LOADED],
        examples: &[("A file:", "kmend info kmend_demo.ko"), ("One that is loaded:", "kmend info kmend_demo")],
        ..NONE
    },
    Page {
        command: "kmend step-back",
        files: &[INSTALLED, NOTES, LOADED],
        examples: &[("To the version before:", "kmend step-back")],
        ..NONE
    },
    Page {
        command: "kmend retry",
        files: &[NOTES],
        examples: &[("A live patch that was set aside after a crash:", "kmend retry kmend_demo")],
        ..NONE
    },
    Page { command: "kmend forget", files: &[NOTES], examples: &[("All that failed:", "kmend forget --all")], ..NONE },
    Page {
        command: "kmend subscribe",
        files: &[NOTES],
        examples: &[
            ("By themselves, for each kernel:", "kmend subscribe auto"),
            ("The setting, and what can be had:", "kmend subscribe status"),
        ],
        ..NONE
    },
    Page { command: "kmend subscribe auto", examples: &[("", "kmend subscribe auto")], files: &[NOTES], ..NONE },
    Page { command: "kmend subscribe manual", examples: &[("", "kmend subscribe manual")], files: &[NOTES], ..NONE },
    Page { command: "kmend subscribe install", examples: &[("", "kmend subscribe install")], files: &[NOTES], ..NONE },
    Page { command: "kmend subscribe status", examples: &[("", "kmend subscribe status")], files: &[NOTES], ..NONE },
    Page { command: "kmend subscribe check", examples: &[("", "kmend subscribe check")], files: &[NOTES], ..NONE },
    Page {
        command: "kmend transition",
        files: &[LOADED],
        examples: &[
            ("What it waits for:", "kmend transition show"),
            ("Until it is complete:", "kmend transition wait"),
        ],
        ..NONE
    },
    Page { command: "kmend transition show", examples: &[("", "kmend transition show")], files: &[LOADED], ..NONE },
    Page { command: "kmend transition wait", examples: &[("", "kmend transition wait")], files: &[LOADED], ..NONE },
    Page { command: "kmend transition signal", examples: &[("", "kmend transition signal")], files: &[LOADED], ..NONE },
    Page { command: "kmend transition retry", examples: &[("", "kmend transition retry")], files: &[LOADED], ..NONE },
    Page {
        command: "kmend transition roll-back",
        examples: &[("", "kmend transition roll-back")],
        files: &[LOADED],
        ..NONE
    },
    Page { command: "kmend signal", examples: &[("", "kmend signal")], files: &[LOADED], ..NONE },
    Page {
        command: "kmend force",
        examples: &[("Take one back although tasks block that:", "kmend force unload kmend_demo")],
        files: &[LOADED],
        ..NONE
    },
    Page {
        command: "kmend force unload",
        examples: &[("Although tasks block that:", "kmend force unload kmend_demo")],
        files: &[LOADED],
        ..NONE
    },
    Page { command: "kmend force transition", examples: &[("", "kmend force transition")], files: &[LOADED], ..NONE },
    Page { command: "kmend version", examples: &[("", "kmend version")], ..NONE },
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;
    use kmend_shared::manual::faults;

    fn commands(command: &Command, above: &str, hidden: bool, out: &mut Vec<(String, bool)>) {
        let name = format!("{above}{}", command.get_name());
        let hidden = hidden || command.is_hide_set();
        out.push((name.clone(), !hidden));
        let below = command.get_subcommands().filter(|c| c.get_name() != "help");
        below.for_each(|c| commands(c, &format!("{name} "), hidden, out));
    }

    #[test]
    fn each_command_has_a_page_with_an_example() {
        let mut all = Vec::new();
        commands(&crate::cli::command(), "", false, &mut all);
        assert_eq!(faults(PAGES, &all), Vec::<String>::new());
    }

    #[test]
    fn examples_are_command_lines() {
        for (_, line) in PAGES.iter().flat_map(|p| p.examples) {
            let parsed = crate::cli::command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }
}
