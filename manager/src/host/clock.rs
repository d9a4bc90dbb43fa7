// SPDX-License-Identifier: GPL-2.0-or-later
//! What time it is on the host: for people in UTC, and for decisions in seconds since the boot. A clock can be set while
//! the host runs, so that a difference of its times decides nothing. A system in another folder (`--root`) may have a clock of its own, the file
//! `clock` in its root: `2026-11-25T17:00:00Z`. What depends on the day can be tested on any day by it.

use super::Host;
use anyhow::{Context, Result};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::Timestamp;

/// Name of the file in the root folder.
pub const FILE: &str = "clock";

/// Now, to the second. A host whose clock is off is told what is true by that clock.
pub fn now(host: &Host) -> Timestamp {
    let own = || host.text(&host.root().join(FILE)).ok().flatten()?.parse().ok();
    let now = if host.is_running_system() { None } else { own() };
    let now: Timestamp = now.unwrap_or_else(Timestamp::now);
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Now as the notes have it: `2026-11-25T17:00:00Z`.
pub fn stamp(host: &Host) -> String {
    now(host).to_string()
}

/// Seconds since the boot that is under way, those in suspend included (CLOCK_BOOTTIME), by /proc/uptime; None where that
/// does not say it. It says nothing across boots: compare it only where [`boot_id`] is the same.
pub fn uptime(host: &Host) -> Option<u64> {
    let text = host.text(&host.at("/proc/uptime")).ok().flatten()?;
    text.split(['.', ' ']).next()?.parse().ok()
}

/// Which boot this is, by /proc/sys/kernel/random/boot_id.
///
/// # Errors
/// The file is missing, or says nothing.
pub fn boot_id(host: &Host) -> Result<String> {
    let path = host.at("/proc/sys/kernel/random/boot_id");
    let text = host.text(&path)?.filter(|text| !text.is_empty());
    text.with_context(|| format!("{} does not say which boot this is", host.show(&path)))
}

/// Today's date in UTC.
pub fn today(host: &Host) -> Date {
    Offset::UTC.to_datetime(now(host)).date()
}

/// A date of the form `2026-11-25`, which is a day of the calendar; None for all else.
pub fn date(text: &str) -> Option<Date> {
    let digits = |at: usize, byte: u8| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    let plain = text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| digits(at, byte));
    plain.then(|| text.parse().ok())?
}

/// Days from one date to another, negative where `to` is the earlier one.
pub fn days(from: Date, to: Date) -> i64 {
    // Both are within the years 0 to 9999: there is always an answer.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_can_have_a_clock_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let real = now(&host);
        assert!(Timestamp::now().as_second() - real.as_second() < 60);
        std::fs::write(dir.path().join(FILE), "2026-11-25T23:59:59.5Z\n").unwrap();
        assert_eq!(stamp(&host), "2026-11-25T23:59:59Z");
        assert_eq!(today(&host).to_string(), "2026-11-25");
        std::fs::write(dir.path().join(FILE), "half past nine\n").unwrap();
        assert!(now(&host) >= real, "a clock that says nothing is none");
    }

    #[test]
    fn uptime_is_what_the_kernel_says() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(uptime(&host), None);
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        for (text, expected) in [("350735.47 234388.90\n", Some(350_735)), ("7", Some(7)), ("", None), ("-1.0 2", None)]
        {
            std::fs::write(dir.path().join("proc/uptime"), text).unwrap();
            assert_eq!(uptime(&host), expected, "{text}");
        }
        assert!(uptime(&Host::new("/")).is_some());
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(days(date("2026-11-25").unwrap(), date("2027-11-25").unwrap()), 365);
        assert_eq!(days(date("2026-11-25").unwrap(), date("2026-11-24").unwrap()), -1);
        assert_eq!(days(date("0000-01-01").unwrap(), date("9999-12-31").unwrap()), 3_652_424);
        assert!(date("2028-02-29").is_some());
        for none in [
            "",
            "2027-02-29",
            "2026-13-01",
            "20261125",
            "2026-11-25T00:00:00Z",
            "2026-11-2",
            "+026-11-25",
            "2026-11-2é",
        ] {
            assert!(date(none).is_none(), "{none:?}");
        }
    }
}
