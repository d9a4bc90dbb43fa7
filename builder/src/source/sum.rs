// SPDX-License-Identifier: GPL-2.0-or-later
//! The sum of a fix: the diffs of a patch file in; out, a SHA-256 of what they change and where. Messages, trailers,
//! diffstats, `index` lines and the function names behind `@@` do not count, nor does the folder that the paths begin with.

use super::patchfile::FileDiff;
use super::{first, strip_one, TOP};
use crate::files;

/// What the sum is made of begins with this; another way to make it gets another.
const FORM: &str = "kmend hunks 1\n";

/// The sum, hexadecimal.
pub fn of_hunks(diffs: &[FileDiff]) -> String {
    let mut text = FORM.as_bytes().to_vec();
    for diff in diffs {
        let path = |name: &Option<String>| name.as_deref().map_or("/dev/null", |name| plain(name)).to_string();
        text.extend(format!("--- {}\n+++ {}\n", path(&diff.old), path(&diff.new)).bytes());
        for h in &diff.hunks {
            text.extend(format!("@@ -{},{} +{},{} @@\n", h.old_start, h.old_len, h.new_start, h.new_len).bytes());
            text.extend(&h.body);
        }
    }
    files::sha256(&text)
}

/// A path without the folder before the tree's own (`a/`, `linux-7.2/`), as far as that shows.
fn plain(name: &str) -> &str {
    if TOP.contains(&first(name)) {
        name
    } else {
        strip_one(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::patchfile::read;

    const HUNK: &str = "@@ -1,3 +1,3 @@ int f(void)\n a\n-b\n+c\n \n";

    fn sum(text: &str) -> String {
        of_hunks(&read(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_mail_around_the_hunks_does_not_count() {
        let names = "--- a/fs/f.c\n+++ b/fs/f.c\n";
        let plain = sum(&format!("{names}{HUNK}"));
        assert_eq!(plain.len(), 64);
        for (head, end) in [
            ("Subject: [PATCH] x\n\nbody\n\nSigned-off-by: A <a@b>\n---\n f.c | 2 +-\n\n", ""),
            ("diff --git a/fs/f.c b/fs/f.c\nindex 1234567..89abcde 100644\n", "-- \n2.39.0\n"),
            ("diff --git a/fs/f.c b/fs/f.c\nindex 1..2\n", "\nCVE: CVE-2026-1234\n"),
        ] {
            assert_eq!(sum(&format!("{head}{names}{HUNK}{end}")), plain);
        }
        for names in [
            "--- linux-7.2.orig/fs/f.c\t2026-01-01\n+++ linux-7.2/fs/f.c\t2026-01-02\n",
            "--- fs/f.c\n+++ fs/f.c\n",
            "--- a/./fs/f.c\n+++ b/fs//f.c\n",
        ] {
            assert_eq!(sum(&format!("{names}{HUNK}")), plain, "{names}");
        }
        let hunk = HUNK.replace(" int f(void)", "").replace("\n \n", "\n\n");
        assert_eq!(sum(&format!("{names}{hunk}")), plain);
    }

    #[test]
    fn what_is_changed_and_where_does() {
        let text = format!("--- a/fs/f.c\n+++ b/fs/f.c\n{HUNK}");
        for (from, to) in [("+c", "+d"), ("-b", "-d"), (" a", " d"), ("fs/f.c", "mm/f.c"), ("-1,3 +1,3", "-2,3 +2,3")] {
            assert!(text.contains(from));
            assert_ne!(sum(&text.replace(from, to)), sum(&text), "{from}");
        }
        assert_ne!(sum(&(text.clone() + "\\ No newline at end of file\n")), sum(&text));
        assert_ne!(
            sum("--- a/fs/f.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"),
            sum("--- a/fs/f.c\n+++ b/fs/f.c\n@@ -1 +0,0 @@\n-a\n")
        );
    }
}
