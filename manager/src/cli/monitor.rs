// SPDX-License-Identifier: GPL-2.0-or-later
//! The status for monitoring: a line as plugins of Nagios print it, and the text format of Prometheus. docs/status.md
//! has the names.

use crate::host::indexes::Index;
use crate::say::shown;
use crate::status::{Level, OnDisk, Status, Verdict};
use jiff::tz::TimeZone;
use std::fmt::{Display, Write};

/// `KMEND OK - … | perfdata` (Monitoring Plugins Development Guidelines, "Plugin Output for Nagios").
pub fn nagios(status: &Status<'_>) -> String {
    let level = level(status);
    let mut data = format!(
        "fixed_live={} not_in_stream={} failures={}",
        status.fixed_live.len(),
        status.not_in_stream.len(),
        status.failures.len()
    );
    if let Some(support) = &status.support {
        let _ = write!(data, " days_left={}", support.days_left);
    }
    let line = format!("{}: {}", status.verdict.word(), status.summary);
    format!("KMEND {} - {} | {data}", level.word(), before_bar(&line))
}

/// By the verdict; a repository that has stopped in the past is a warning where nothing else is.
pub fn level(status: &Status<'_>) -> Level {
    match status.verdict.level() {
        Level::Ok if status.indexes.iter().any(|index| index.stale().is_some()) => Level::Warning,
        level => level,
    }
}

/// The line and the exit code where nothing could be told.
pub fn nagios_error(error: &anyhow::Error) -> (String, u8) {
    let line = format!("KMEND {} - {}", Level::Unknown.word(), before_bar(&format!("{error:#}")));
    (line, Level::Unknown.exit_code())
}

/// A bar would begin the perfdata, a line break the long text.
fn before_bar(text: &str) -> String {
    shown(&text.replace(['|', '\n'], "/")).into_owned()
}

/// The text format, version 0.0.4.
pub fn prometheus<'s>(status: &'s Status<'_>) -> String {
    let mut out = Metrics(String::new());
    let verdict = |verdict: &Verdict| (vec![("verdict", verdict.slug())], u8::from(*verdict == status.verdict));
    let verdicts: Vec<_> = Verdict::ALL.iter().map(verdict).collect();
    out.gauge("kmend_verdict", "1 for the verdict of kmend status, 0 for all others.", verdicts);
    let mut kernel = vec![("release", status.kernel.release.as_str()), ("machine", &status.kernel.machine)];
    kernel.extend(status.level.as_deref().map(|level| ("level", level)));
    out.gauge("kmend_kernel_info", "The running kernel, and the level that manifests in force say.", [(kernel, 1)]);
    let patches = status.loaded.iter().map(|patch| {
        let state = patch.state.word().trim_end_matches('.');
        let version = patch.version.as_deref().unwrap_or_default();
        (vec![("module", patch.name.as_str()), ("version", version), ("state", state)], 1)
    });
    out.gauge("kmend_live_patch_info", "Live patches in the kernel.", patches);
    out.number("kmend_cves_fixed_live", "CVEs that live patches in force fix.", status.fixed_live.len());
    let help = "CVEs whose fixes in force change no code of this kernel.";
    out.number("kmend_cves_not_concerned", help, status.not_concerned.len());
    let help = "CVEs that the streams in force know and do not fix.";
    out.number("kmend_cves_not_in_stream", help, status.not_in_stream.len());
    let newer = status.available.as_ref().is_some_and(|offer| offer.is_newer);
    out.number("kmend_update_available", "1 if the last check found a newer version.", u8::from(newer));
    if let Some(days) = status.checked_days {
        out.number("kmend_check_age_days", "Days since the repositories were last checked.", days.max(0));
    }
    let held_back = status.installed.iter().filter(|file| file.held_back.is_some()).count();
    out.number("kmend_held_back", "Streams whose newest version is held back by a step back.", held_back);
    let aside = |file: &&OnDisk| file.held_back.is_none() && file.helpless().is_some();
    let aside = status.installed.iter().filter(aside).count();
    let help = "Installed live patches that were set aside after a crash or are stuck in memory.";
    out.number("kmend_set_aside", help, aside);
    out.number("kmend_failures", "Recorded installs and loads for this kernel that failed.", status.failures.len());
    out.number("kmend_blocking_tasks", "Tasks that a transition waits for.", status.blocking.len());
    let help = "1 if the kernel, or kmend, accepts only signed live patches.";
    let by = |who| (vec![("by", who)], u8::from(status.signatures.checked_by.contains(&who)));
    out.gauge("kmend_signatures_checked", help, ["kernel", "kmend"].map(by));
    if !status.indexes.is_empty() {
        let all = || status.indexes.iter();
        let help = "When the index of a repository of live patches was made, seconds since 1970.";
        out.gauge("kmend_index_timestamp_seconds", help, all().map(|i| (repository(i), i.date.as_second())));
        let help = "Until when it is valid, seconds since 1970.";
        let until = |i: &'s Index| Some((repository(i), i.until()?));
        out.gauge("kmend_index_valid_until_timestamp_seconds", help, all().filter_map(until));
        let help = "1 if it has expired, or is older than one that was seen before.";
        out.gauge("kmend_index_stale", help, all().map(|i| (repository(i), u8::from(i.stale().is_some()))));
    }
    if let Some(support) = &status.support {
        // The end of the last day, in UTC.
        let end = support.until.0.tomorrow().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        let help = "When the kernel's live patches end, seconds since 1970.";
        out.gauge(
            "kmend_supported_until_timestamp_seconds",
            help,
            end.map(|end| (Vec::new(), end.timestamp().as_second())),
        );
    }
    out.0
}

fn repository(index: &Index) -> Labels<'_> {
    vec![("repository", index.repository.as_str())]
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

struct Metrics(String);

impl Metrics {
    fn number(&mut self, name: &str, help: &str, value: impl Display) {
        self.gauge(name, help, [(Vec::new(), value)]);
    }

    fn gauge<'a, V: Display>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels<'a>, V)>) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

fn escaped(text: &str) -> String {
    // The format knows three escapes and no other; what is not shown is written out before that.
    let lines: Vec<_> = text.split('\n').map(|line| shown(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    lines.join("\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_do_not_break_out_of_their_place() {
        assert_eq!(before_bar("a | b\nc"), "a / b/c");
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
        assert_eq!(before_bar("a\x1b[2J\u{202e}"), "a\\u{1b}[2J\\u{202e}");
        assert_eq!(escaped("a\x1b"), "a\\\\u{1b}");
        assert_eq!(nagios_error(&anyhow::anyhow!("a|b")), ("KMEND UNKNOWN - a/b".into(), 3));
    }
}
