// SPDX-License-Identifier: GPL-2.0-or-later
//! How old the indexes of kmend's package repositories are that this host has fetched: files of apt and dnf in; dates, ends, and
//! whether one went back out. apt asks for the end by itself and keeps the newer of two; dnf does neither. The newest date that
//! was seen of each repository is kept in indexes.json.

use super::notes::{self, Note};
use super::{clock, lock, Host};
use crate::files;
use crate::Run;
use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where apt keeps what it has fetched.
const APT: &str = "/var/lib/apt/lists";
/// Where dnf 4 and dnf 5 do, in a folder for each repository.
const DNF: [&str; 2] = ["/var/cache/dnf", "/var/cache/libdnf5"];
/// Larger files are no index of kmend's.
const LARGEST: u64 = 4 << 20;
/// What repositories of kmend's say of themselves (kmend-packager: index.rs).
const RELEASE_LABEL: &str = "Label: kmend";
const TAG: &str = "<content>kmend</content>";
const VALID_UNTIL: &str = "<content>kmend-valid-until=";

/// An index that lies on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Index {
    /// What apt or dnf calls the repository.
    pub repository: String,
    /// When the index was made.
    #[serde(serialize_with = "text")]
    pub date: Timestamp,
    /// How many days ago that is, rounded down.
    pub age_days: i64,
    /// The last second on which it is to be used, where it says that.
    #[serde(serialize_with = "text_or_null")]
    pub valid_until: Option<Timestamp>,
    /// That is over.
    pub expired: bool,
    /// A newer one of this repository that was seen before.
    #[serde(serialize_with = "text_or_null")]
    pub newer_seen: Option<Timestamp>,
    /// Its file.
    pub file: String,
}

/// indexes.json: by repository, the newest date that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// RFC 3339, UTC.
    pub newest: BTreeMap<String, String>,
}

impl Note for Seen {
    const FILE: &'static str = "indexes.json";
}

impl Index {
    /// When it ends, seconds since 1970.
    pub fn until(&self) -> Option<i64> {
        self.valid_until.map(Timestamp::as_second)
    }

    /// Why it is not to be relied on; None where nothing says so.
    pub fn stale(&self) -> Option<String> {
        let Self { repository, date, .. } = self;
        if let Some(newer) = self.newer_seen {
            let (date, newer) = (day(*date), day(newer));
            return Some(format!(
                "the index of {repository} is older than before: it is from {date}, and one from {newer} was seen earlier"
            ));
        }
        let until = self.valid_until.filter(|_| self.expired)?;
        Some(format!("the index of {repository} has expired on {}: newer live patches may be missing", day(until)))
    }

    /// In a line.
    pub fn line(&self) -> String {
        let age = match self.age_days {
            ..0 => "later than this host's clock".into(),
            0 => "less than a day old".into(),
            1 => "1 day old".into(),
            days => format!("{days} days old"),
        };
        let end = match self.valid_until {
            None => "valid for ever".into(),
            Some(until) if self.expired => format!("expired on {}", day(until)),
            Some(until) => format!("valid until {}", day(until)),
        };
        let back = self.newer_seen.map_or(String::new(), |newer| format!("; one of {} was seen before", day(newer)));
        format!("{} of {}, {age}, {end}{back}", self.repository, day(self.date))
    }
}

fn text<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

fn text_or_null<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(to)
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// All that lie here, by name; and what is wrong with those that cannot be read.
pub fn look(host: &Host) -> (Vec<Index>, Vec<String>) {
    let mut faults = Vec::new();
    let seen: Seen = notes::read(host).unwrap_or_else(|error| {
        faults.push(format!("{error:#}"));
        Seen::default()
    });
    let now = clock::now(host);
    let mut found: BTreeMap<String, Index> = BTreeMap::new();
    for (repository, path, read) in candidates(host, &mut faults) {
        let text = match files::read(&path, LARGEST) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            // Other repositories' may be larger.
            Err(_) => continue,
        };
        let Some((date, valid_until)) = read(&text) else { continue };
        // A date to come says nothing of what was seen.
        let newer = seen.newest.get(&repository).and_then(|text| text.parse::<Timestamp>().ok());
        let newer_seen =
            newer.filter(|newer| *newer > date && newer.duration_since(now) < SignedDuration::from_hours(24));
        let index = Index {
            age_days: now.duration_since(date).as_secs().div_euclid(86_400),
            expired: valid_until.is_some_and(|until| until < now),
            file: host.show(&path),
            repository: repository.clone(),
            date,
            valid_until,
            newer_seen,
        };
        // Of two caches of one repository the newer one counts.
        if found.get(&repository).is_none_or(|other| other.date < index.date) {
            found.insert(repository, index);
        }
    }
    (found.into_values().collect(), faults)
}

/// Writes down what was seen, and says what is not to be relied on.
pub fn remember(run: &Run<'_>) {
    let (indexes, _) = look(run.host);
    indexes.iter().filter_map(Index::stale).for_each(|why| run.say.warn(why));
    let news: Vec<&Index> = indexes.iter().filter(|index| index.newer_seen.is_none() && index.age_days >= 0).collect();
    let write = || -> Result<()> {
        let _lock = lock::take(run, "subscribe", true)?;
        let mut seen: Seen = notes::read(run.host).unwrap_or_default();
        let before = seen.clone();
        seen.newest.extend(news.iter().map(|index| (index.repository.clone(), index.date.to_string())));
        if seen == before {
            return Ok(());
        }
        notes::write(run.host, &seen)
    };
    if let (false, Err(error)) = (news.is_empty(), write()) {
        run.say.warn(format!("{error:#}: kmend cannot tell whether a repository's index gets older"));
    }
}

type Read = fn(&str) -> Option<(Timestamp, Option<Timestamp>)>;

/// Files that may be indexes: the repository's name, the path, and how it is read.
fn candidates(host: &Host, faults: &mut Vec<String>) -> Vec<(String, PathBuf, Read)> {
    let mut names = |folder: &Path| {
        host.names(folder).unwrap_or_else(|error| {
            faults.push(format!("{error:#}"));
            Vec::new()
        })
    };
    let mut all: Vec<(String, PathBuf, Read)> = Vec::new();
    let lists = host.at(APT);
    for name in names(&lists) {
        let stem = name.strip_suffix("_InRelease").or_else(|| name.strip_suffix("_Release"));
        if let Some(stem) = stem {
            all.push((shown(stem.trim_end_matches("_.").trim_end_matches('_')), lists.join(&name), release));
        }
    }
    for folder in DNF.map(|path| host.at(path)) {
        for name in names(&folder) {
            // NAME-0123456789abcdef
            let short = name.rsplit_once('-').filter(|(_, hash)| hash.len() == 16 && is_hex(hash));
            let repository = shown(short.map_or(name.as_str(), |(short, _)| short));
            all.push((repository, folder.join(&name).join("repodata/repomd.xml"), repomd));
        }
    }
    all
}

fn shown(name: &str) -> String {
    crate::say::shown(name).into_owned()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `Date: Mon, 21 Sep 2026 14:13:20 UTC`, and `Valid-Until` of the same form.
fn release(text: &str) -> Option<(Timestamp, Option<Timestamp>)> {
    if !text.lines().any(|line| line.trim_end() == RELEASE_LABEL) {
        return None;
    }
    let time = |field: &str| {
        let text = text.lines().find_map(|line| line.strip_prefix(field))?.trim().replace("UTC", "+0000");
        jiff::fmt::rfc2822::parse(&text).ok().map(|time| time.timestamp())
    };
    Some((time("Date:")?, time("Valid-Until:")))
}

/// `<revision>1790000000</revision>`, and the tags of kmend's.
fn repomd(text: &str) -> Option<(Timestamp, Option<Timestamp>)> {
    let between = |from: &str, to: &str| text.split_once(from)?.1.split_once(to).map(|(inside, _)| inside.trim());
    if !text.contains(TAG) {
        return None;
    }
    let date = between("<revision>", "</revision>")?.parse().ok()?;
    let until = between(VALID_UNTIL, "</content>").and_then(|text| text.parse().ok());
    Some((Timestamp::from_second(date).ok()?, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(host: &Host, path: &str, text: &str) {
        fs::create_dir_all(host.at(path).parent().unwrap()).unwrap();
        fs::write(host.at(path), text).unwrap();
    }

    #[test]
    fn indexes_of_both_kinds_are_read_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(look(&host), (Vec::new(), Vec::new()));
        put(&host, "clock", "2026-11-25T17:00:00Z");
        let dates = "Date: Mon, 21 Sep 2026 14:13:20 UTC\nValid-Until: Tue, 22 Sep 2026 14:13:20 UTC\n";
        put(&host, "/var/lib/apt/lists/deb.debian.org_debian_InRelease", &format!("Label: Debian\n{dates}"));
        put(&host, "/var/lib/apt/lists/example.com_live_._InRelease", &format!("Label: kmend\n{dates}"));
        put(&host, "/var/lib/apt/lists/example.com_live_._Packages", "");
        put(&host, "/var/lib/apt/lists/odd_Release", "Label: kmend\nDate: yesterday\n");
        put(&host, "/var/cache/dnf/base-0123456789abcdef/repodata/repomd.xml", "<revision>1790000000</revision>");
        let ours = "<revision>1795600000</revision><tags><content>kmend</content><content>kmend-valid-until=2027-01-01T00:00:00Z</content></tags>";
        put(&host, "/var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml", ours);
        put(&host, "/var/cache/dnf/odd-live/repodata/repomd.xml", &ours.replace("17956", "x"));
        let (found, faults) = look(&host);
        assert_eq!(faults, [""; 0]);
        let told: Vec<String> = found.iter().map(Index::line).collect();
        assert_eq!(
            told,
            [
                "example.com_live of 2026-09-21, 65 days old, expired on 2026-09-22",
                "live of 2026-11-25, less than a day old, valid until 2027-01-01"
            ]
        );
        assert!(found[0].stale().unwrap().contains("has expired on 2026-09-22") && found[1].stale().is_none());
        // The newest that was seen; one of a time to come is not believed.
        for (seen, newer) in
            [("2026-11-25T10:00:00Z", true), ("2026-11-20T00:00:00Z", false), ("2030-01-01T00:00:00Z", false)]
        {
            put(&host, "/var/lib/kmend/indexes.json", &format!(r#"{{"newest":{{"live":"{seen}"}}}}"#));
            assert_eq!(look(&host).0[1].newer_seen.is_some(), newer, "{seen}");
        }
        put(&host, "/var/lib/kmend/indexes.json", "{");
        assert_eq!(look(&host).1.len(), 1);
    }
}
