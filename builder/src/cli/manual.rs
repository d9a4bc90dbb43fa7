// SPDX-License-Identifier: GPL-2.0-or-later
//! What the manual pages of kmend-build say beyond the help of its commands.

use kmend_shared::manual::Page;

/// Most commands have no others.
const EXITS: &[(&str, &str)] = &[("0", "done"), ("1", "an error: a file, a disk, a target, the command line")];

/// Commands that judge a fix.
const JUDGES: &[(&str, &str)] = &[
    ("0", "built; for diff: can be live patched"),
    ("1", "an error: a file, a disk, a target, the command line"),
    ("2", "refused: the fix cannot be live patched as it is"),
    ("3", "nothing changed: the fix compiles to the same code"),
];

const STREAM_EXITS: &[(&str, &str)] = &[
    ("0", "done for all kernels"),
    ("1", "the stream file is wrong, or there was an error with a kernel"),
    ("2", "kernels were refused, the ledger is not kept, or the repository is not as it was released"),
];

/// Commands for streams on many machines.
const FARM: &str = "/usr/share/doc/kmend-build/farm.md";

const STREAM_FILE: (&str, &str) = ("stream.toml", "the stream file");

const CACHE: (&str, &str) = ("~/.cache/kmend", "targets, build roots and compiled objects");

const ENVIRONMENT: &[(&str, &str)] = &[
    ("KMEND_CACHE", "the cache folder, in place of $XDG_CACHE_HOME/kmend or ~/.cache/kmend"),
    ("KMEND_CACHE_OBJECTS", "the most MiB that compiled units may take in the cache; 20480 if it is not set"),
    ("NO_COLOR", "no colours, also on a terminal"),
];

/// A page for each command.
pub const PAGES: &[Page] = &[
    Page {
        command: "kmend-build",
        exits: JUDGES,
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[
            ("Prepare Debian forky's kernel, once:", "kmend-build target add debian:forky"),
            ("Build a live patch of a fix for it:", "kmend-build build -t debian:forky -n kmend_demo fix.patch"),
            ("See what it holds, and whether it fits the kernel:", "kmend-build inspect -t debian:forky kmend_demo.ko"),
        ],
        see: &["kmend(8)", "/usr/share/doc/kmend-build", "https://docs.kernel.org/livepatch/livepatch.html"],
    },
    Page {
        command: "kmend-build build",
        exits: JUDGES,
        environment: ENVIRONMENT,
        files: &[
            ("NAME.ko", "the live patch, in the folder of --output"),
            ("NAME.report.html", "what --report writes, by the name that it is given"),
            CACHE,
        ],
        examples: &[
            ("One fix:", "kmend-build build -t debian:forky -n kmend_demo fix.patch"),
            (
                "Two fixes in one cumulative live patch, with a report:",
                "kmend-build build -t debian:forky -n kmend_2 --report kmend_2.html first.patch second.patch",
            ),
            ("A fix from standard input, and the manifest as JSON:", "kmend-build build -t debian:forky --json -"),
        ],
        see: &["patch(1)", "/usr/share/doc/kmend-build/authors.md"],
    },
    Page {
        command: "kmend-build cache",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[("What is in the cache, and how large it is:", "kmend-build cache show")],
        ..NONE
    },
    Page {
        command: "kmend-build cache show",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[("What is in the cache, and how large it is:", "kmend-build cache show")],
        ..NONE
    },
    Page {
        command: "kmend-build cache prune",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[("Remove what killed runs left:", "kmend-build cache prune")],
        ..NONE
    },
    Page {
        command: "kmend-build diff",
        exits: JUDGES,
        environment: ENVIRONMENT,
        files: &[("FILE", "the extracted object that -o writes")],
        examples: &[
            ("What a live patch would have to carry:", "kmend-build diff original.o patched.o"),
            ("The same with the extracted object:", "kmend-build diff -o extracted.o original.o patched.o"),
        ],
        see: &["/usr/share/doc/kmend-build/constructs.md"],
    },
    Page {
        command: "kmend-build inspect",
        exits: &[
            ("0", "a live patch; with -t or --verify-cert: and it fits, or the key has signed it"),
            ("1", "an error, or no live patch"),
            ("2", "it does not fit that kernel, or that key has not signed it"),
        ],
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[
            ("What a live patch holds:", "kmend-build inspect kmend_demo.ko"),
            ("Whether it fits a kernel:", "kmend-build inspect -t debian:forky kmend_demo.ko"),
            ("Whether a key has signed it:", "kmend-build inspect --verify-cert live.pem kmend_demo.ko"),
        ],
        see: &["modinfo(8)", "/usr/share/doc/kmend-build/inspect.md"],
    },
    Page {
        command: "kmend-build prove",
        exits: &[
            ("0", "all functions and data of the files are proven"),
            ("1", "an error"),
            ("2", "something is not proven"),
        ],
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[("Two files of a kernel:", "kmend-build prove -t debian:forky fs/proc/cmdline.c net/core/dev.c")],
        see: &["/usr/share/doc/kmend-build/proof.md"],
    },
    Page {
        command: "kmend-build sign",
        exits: EXITS,
        environment: &[("KBUILD_SIGN_PIN", "the PIN of a token, or the passphrase of a key")],
        files: &[],
        examples: &[
            ("By a key in a file:", "kmend-build sign --key live.key --cert live.pem kmend_demo.ko"),
            (
                "By a key on a token:",
                "kmend-build sign --key pkcs11:token=live;object=live --cert live.pem -o signed.ko kmend_demo.ko",
            ),
        ],
        see: &["openssl-cms(1)", "/usr/share/doc/kmend-build/streams.md"],
    },
    Page {
        command: "kmend-build stream",
        exits: STREAM_EXITS,
        environment: ENVIRONMENT,
        files: &[("stream.toml", "the stream file"), CACHE],
        examples: &[("Check a stream file:", "kmend-build stream check stream.toml")],
        see: &["/usr/share/doc/kmend-build/streams.md"],
    },
    Page {
        command: "kmend-build stream check",
        exits: STREAM_EXITS,
        environment: ENVIRONMENT,
        files: &[("stream.toml", "the stream file")],
        examples: &[("Check a stream file:", "kmend-build stream check stream.toml")],
        see: &["/usr/share/doc/kmend-build/streams.md"],
    },
    Page {
        command: "kmend-build stream init",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[STREAM_FILE],
        examples: &[(
            "A stream for one kernel:",
            "kmend-build stream init stream.toml --packager 'Team <live@example.org>' -k debian:forky/7.2.12+deb14-amd64",
        )],
        see: &[FARM, "/usr/share/doc/kmend-build/streams.md"],
    },
    Page {
        command: "kmend-build stream add",
        exits: EXITS,
        environment: &[
            ("SOURCE_DATE_EPOCH", "the day of a new version, in place of today: seconds since 1970"),
            ("KMEND_CACHE", "the cache folder, in place of $XDG_CACHE_HOME/kmend or ~/.cache/kmend"),
        ],
        files: &[STREAM_FILE, ("ledger.json", "beside it: whether the last version is released")],
        examples: &[
            ("A fix:", "kmend-build stream add stream.toml fix.patch --cve CVE-2026-1001 --severity important"),
            ("The commits of a branch:", "kmend-build stream add stream.toml --from-git linux v7.2.12..fixes"),
        ],
        see: &["git(1)", FARM],
    },
    Page {
        command: "kmend-build stream plan",
        exits: &[
            ("0", "there is work to do"),
            ("1", "an error"),
            ("2", "the version drops what was released"),
            ("3", "there is nothing to build"),
        ],
        environment: ENVIRONMENT,
        files: &[STREAM_FILE, ("ledger.json", "beside it: what was released")],
        examples: &[
            ("What there is to do:", "kmend-build stream plan stream.toml"),
            ("A matrix for GitHub Actions:", "kmend-build stream plan stream.toml --format github"),
            ("What earlier results do not cover:", "kmend-build stream plan stream.toml --results results --format plain"),
            ("Jobs that try their live patches in guests:", "kmend-build stream plan stream.toml --try --format plain"),
        ],
        see: &[FARM],
    },
    Page {
        command: "kmend-build stream assemble",
        exits: &[
            ("0", "all is released"),
            ("1", "an error"),
            ("2", "results cannot be used, the ledger is not kept, or kernels were refused"),
        ],
        environment: ENVIRONMENT,
        files: &[
            STREAM_FILE,
            ("ledger.json", "beside it: what was released; it belongs under version control"),
            ("REPO", "the repository: packages and their index"),
            CACHE,
        ],
        examples: &[
            (
                "Release what jobs have built:",
                "kmend-build stream assemble stream.toml --results results -o repo --gpg-key repo.asc",
            ),
            (
                "The same where two machines have to agree:",
                "kmend-build stream assemble stream.toml --results one --results two --twice -o repo",
            ),
            (
                "Only live patches that a guest was well with:",
                "kmend-build stream assemble stream.toml --results results --require-try -o repo",
            ),
        ],
        see: &[FARM, "/usr/share/doc/kmend-build/packages.md"],
    },
    Page {
        command: "kmend-build stream build",
        exits: &[
            ("0", "done for all kernels; with --result: each has a result"),
            ("1", "the stream file is wrong, or there was an error with a kernel"),
            ("2", "kernels were refused, or the ledger is not kept"),
            ("4", "with --try: a guest showed a fault of a live patch"),
        ],
        environment: ENVIRONMENT,
        files: &[("stream.toml", "the stream file"), CACHE],
        examples: &[
            ("The newest version for all kernels:", "kmend-build stream build -o out stream.toml"),
            (
                "One version for one kernel, with JSON:",
                "kmend-build stream build --version 1-3 -k debian:forky/7.2.12+deb14-amd64 --json -o out stream.toml",
            ),
            (
                "As a job of a plan:",
                "kmend-build stream build stream.toml -k debian:forky/7.2.12+deb14-amd64 --result results",
            ),
            ("A job for each kernel, with a trial:", "kmend-build stream build stream.toml --result results --try"),
        ],
        see: &["/usr/share/doc/kmend-build/streams.md", FARM],
    },
    Page {
        command: "kmend-build stream release",
        exits: STREAM_EXITS,
        environment: ENVIRONMENT,
        files: &[
            ("stream.toml", "the stream file"),
            ("ledger.json", "beside the stream file: what was released; it belongs under version control"),
            ("REPO", "the repository: packages and their index"),
            CACHE,
        ],
        examples: &[
            (
                "Build, sign, pack and publish the newest version:",
                "kmend-build stream release -o repo --gpg-key repo.asc --sign-key live.key --sign-cert live.pem stream.toml",
            ),
            ("Four kernels at a time:", "kmend-build stream release -j 4 -o repo stream.toml"),
        ],
        see: &["dnf(8)", "apt-get(8)", "/usr/share/doc/kmend-build/packages.md"],
    },
    Page {
        command: "kmend-build stream renew",
        exits: STREAM_EXITS,
        environment: ENVIRONMENT,
        files: &[("REPO", "the repository: packages and their index")],
        examples: &[
            ("A new index, with a new date:", "kmend-build stream renew -o repo --gpg-key repo.asc stream.toml"),
        ],
        see: &["/usr/share/doc/kmend-build/streams.md"],
    },
    Page {
        command: "kmend-build target",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("~/.cache/kmend/targets", "the targets"), ("~/.cache/kmend/roots", "their build roots")],
        examples: &[("Prepare Debian forky's kernel:", "kmend-build target add debian:forky")],
        see: &["/usr/share/doc/kmend-build/authors.md"],
    },
    Page {
        command: "kmend-build target add",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("~/.cache/kmend/targets", "the targets"), ("~/.cache/kmend/roots", "their build roots")],
        examples: &[
            ("The newest kernel of a suite of Debian:", "kmend-build target add debian:forky"),
            ("This one:", "kmend-build target add debian:forky/7.2.12+deb14-amd64"),
            ("The kernel that this machine runs:", "kmend-build target add host"),
            (
                "A kernel of an RPM distribution, by dnf:",
                "kmend-build target add rpm:el9 --release 5.14.0-427.el9.x86_64",
            ),
            ("A kernel that you built:", "kmend-build target add --tree linux --name mine"),
        ],
        see: &["dnf(8)", "/usr/share/doc/kmend-build/authors.md", "/usr/share/doc/kmend-build/rhel.md"],
    },
    Page {
        command: "kmend-build target list",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("~/.cache/kmend/targets", "the targets")],
        examples: &[("All targets:", "kmend-build target list"), ("As JSON:", "kmend-build target list --json")],
        ..NONE
    },
    Page {
        command: "kmend-build target show",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("~/.cache/kmend/targets", "the targets")],
        examples: &[("All that is known of one:", "kmend-build target show debian:forky")],
        ..NONE
    },
    Page {
        command: "kmend-build target export",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("FILE", "the target: a tar in zstd"), CACHE],
        examples: &[(
            "A target for other machines:",
            "kmend-build target export debian:bookworm -o bookworm.kmend",
        )],
        see: &["sha256sum(1)", FARM, "/usr/share/doc/kmend-build/security.md"],
    },
    Page {
        command: "kmend-build target import",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("FILE", "what `target export` wrote"), CACHE],
        examples: &[
            ("On another machine:", "kmend-build target import bookworm.kmend"),
            (
                "Only the one whose checksum was told:",
                "kmend-build target import --sha256 90b1a59ec2b8d2f5b7d4b5c8d2f5a1f0b1c8c1f5c8d2f5a190b1a59ec2b8d2f5 bookworm.kmend",
            ),
        ],
        see: &[FARM, "/usr/share/doc/kmend-build/security.md"],
    },
    Page {
        command: "kmend-build target remove",
        exits: EXITS,
        environment: ENVIRONMENT,
        files: &[("~/.cache/kmend/targets", "the targets")],
        examples: &[("One that is no longer needed:", "kmend-build target remove tree:mine")],
        ..NONE
    },
    Page {
        command: "kmend-build try",
        exits: &[
            ("0", "all was well in all runs"),
            ("1", "an error: a file, the target, no QEMU, a kernel that does not come up"),
            ("2", "the live patch does not fit the target"),
            ("4", "the guest showed a fault"),
        ],
        environment: ENVIRONMENT,
        files: &[CACHE],
        examples: &[
            ("Load it, revert it, and read the log:", "kmend-build try kmend_demo.ko -t debian:forky"),
            (
                "With a script that has to say something else under the live patch:",
                "kmend-build try kmend_demo.ko -t debian:forky --probe probe.sh --expect-change",
            ),
            ("A shell in the guest:", "kmend-build try kmend_demo.ko -t debian:forky --shell"),
        ],
        see: &["qemu(1)", "busybox(1)", "/usr/share/doc/kmend-build/try.md"],
    },
];

const NONE: Page = Page { command: "", exits: &[], environment: &[], files: &[], examples: &[], see: &[] };

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

    /// The words of a command line; blanks within '…' part none.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (n, part) in line.split('\'').enumerate() {
            let mut pieces = if n % 2 == 0 { part.split(' ').collect() } else { vec![part] }.into_iter();
            words.last_mut().unwrap().push_str(pieces.next().unwrap());
            words.extend(pieces.map(String::from));
        }
        words
    }

    #[test]
    fn examples_are_command_lines() {
        for (_, line) in PAGES.iter().flat_map(|p| p.examples) {
            let parsed = crate::cli::command().try_get_matches_from(words(line));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }
}
