//! Amnesties: commits that the maintainer admits by name, whatever the window holds. Pure: no clock, no disk.
//!
//! An amnesty is for one commit, and for one host or for every host. It may have an end time. It only admits: it never
//! refuses a commit that the window admits.

use std::fmt;
use std::time::SystemTime;

use cis490_shared::ids::{CommitHash, HostId};
use cis490_shared::moment::Moment;
use serde::{Deserialize, Serialize};

/// The longest reason, in characters, so that it fits into a line of a log.
const MAX_REASON: usize = 300;

/// The reason for an amnesty, in the maintainer's words: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// The error for a text that is not a valid reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReason {
    /// The text is empty or only white space.
    #[error("it is empty")]
    Empty,
    /// The text is longer than a log line should be.
    #[error("it has {0} characters, at most {MAX_REASON} are kept")]
    TooLong(usize),
    /// The text holds a line end or another control character, which a terminal would obey.
    #[error("it holds `{}`, only text on one line is kept", .0.escape_debug())]
    Control(char),
}

impl Reason {
    /// Parses one line of text; trims white space around it.
    pub fn parse(text: &str) -> Result<Self, BadReason> {
        let text = text.trim();
        match (text.chars().find(|c| c.is_control()), text.chars().count()) {
            (_, 0) => Err(BadReason::Empty),
            (Some(control), _) => Err(BadReason::Control(control)),
            (None, count) if count > MAX_REASON => Err(BadReason::TooLong(count)),
            (None, _) => Ok(Self(text.to_owned())),
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = BadReason;
    fn try_from(text: String) -> Result<Self, BadReason> {
        Self::parse(&text)
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One commit that is admitted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amnesty {
    /// The commit that recorded the episodes.
    pub commit: CommitHash,
    /// The host whose episodes are admitted; `None` means every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The end time; `None` if the amnesty lasts until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The reason.
    pub reason: Reason,
    /// The name of the user who admitted the commit; also one line of text.
    pub by: Reason,
    /// The time at which the commit was admitted.
    pub at: Moment,
}

impl Amnesty {
    /// Returns true if the end time has passed.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until.is_past(now))
    }

    /// Returns true if the amnesty covers this host. If the host is unknown, only an amnesty for every host does.
    fn is_for(&self, host: Option<&HostId>) -> bool {
        self.host.is_none() || self.host.as_ref() == host
    }
}

/// All commits that were admitted by name and not revoked, oldest first; some of them may have expired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amnesties {
    // A list, not a map: people read the file, it has few entries, and only refused commits are looked up.
    admitted: Vec<Amnesty>,
}

impl Amnesties {
    /// Returns all entries, also expired ones.
    pub fn all(&self) -> &[Amnesty] {
        &self.admitted
    }

    /// Returns the entries that have not expired.
    pub fn in_force(&self, now: SystemTime) -> impl Iterator<Item = &Amnesty> {
        self.admitted.iter().filter(move |amnesty| !amnesty.is_over(now))
    }

    /// Returns the amnesty that admits this commit for this host now. A host-specific amnesty takes precedence over one
    /// for every host.
    pub fn find(&self, commit: &CommitHash, host: Option<&HostId>, now: SystemTime) -> Option<&Amnesty> {
        let fitting = self.in_force(now).filter(|amnesty| amnesty.commit == *commit && amnesty.is_for(host));
        fitting.max_by_key(|amnesty| amnesty.host.is_some())
    }

    /// Adds an amnesty; replaces and returns an earlier one for the same commit and host.
    pub fn admit(&mut self, amnesty: Amnesty) -> Option<Amnesty> {
        let is_same = |other: &Amnesty| other.commit == amnesty.commit && other.host == amnesty.host;
        let replaced = self.take(is_same).pop();
        self.admitted.push(amnesty);
        replaced
    }

    /// Removes the amnesty for a commit and one host, or all amnesties for the commit if `host` is `None`. Returns the
    /// removed entries.
    pub fn revoke(&mut self, commit: &CommitHash, host: Option<&HostId>) -> Vec<Amnesty> {
        self.take(|amnesty| amnesty.commit == *commit && (host.is_none() || amnesty.host.as_ref() == host))
    }

    /// Removes expired entries.
    pub fn tidy(&mut self, now: SystemTime) {
        self.admitted.retain(|amnesty| !amnesty.is_over(now));
    }

    fn take(&mut self, is_meant: impl Fn(&Amnesty) -> bool) -> Vec<Amnesty> {
        let (taken, kept) = std::mem::take(&mut self.admitted).into_iter().partition(is_meant);
        self.admitted = kept;
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn commit(byte: u8) -> CommitHash {
        CommitHash::parse(&format!("{byte:02x}").repeat(20)).unwrap()
    }

    fn host(name: &str) -> HostId {
        HostId::parse(name).unwrap()
    }

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn amnesty(byte: u8, of: Option<&str>, until: Option<u64>, why: &str) -> Amnesty {
        Amnesty {
            commit: commit(byte),
            host: of.map(host),
            until: until.map(|seconds| Moment::of(time(seconds))),
            reason: Reason::parse(why).unwrap(),
            by: Reason::parse("alice").unwrap(),
            at: Moment::of(time(0)),
        }
    }

    fn found(list: &Amnesties, byte: u8, of: Option<&str>, now: u64) -> Option<String> {
        let of = of.map(host);
        list.find(&commit(byte), of.as_ref(), time(now)).map(|amnesty| amnesty.reason.to_string())
    }

    #[test]
    fn an_amnesty_counts_for_its_commit_its_host_and_its_time() {
        let mut list = Amnesties::default();
        for one in [
            amnesty(1, None, None, "for all"),
            amnesty(1, Some("lab-1"), Some(100), "for one"),
            amnesty(2, Some("lab-1"), None, "only one"),
        ] {
            assert_eq!(list.admit(one), None);
        }
        for (byte, of, now, expected) in [
            (1, Some("lab-1"), 99, Some("for one")),
            (1, Some("lab-1"), 100, Some("for all")),
            (1, Some("lab-2"), 99, Some("for all")),
            (1, None, 99, Some("for all")),
            (2, Some("lab-1"), 99, Some("only one")),
            (2, Some("lab-2"), 99, None),
            (2, None, 99, None),
            (3, Some("lab-1"), 99, None),
        ] {
            assert_eq!(found(&list, byte, of, now).as_deref(), expected, "{byte} {of:?} {now}");
        }
        list.tidy(time(100));
        assert_eq!(list.all().len(), 2);
    }

    #[test]
    fn the_same_commit_and_host_has_one_entry() {
        let mut list = Amnesties::default();
        list.admit(amnesty(1, None, None, "first"));
        list.admit(amnesty(1, Some("lab-1"), None, "beside it"));
        let replaced = list.admit(amnesty(1, None, Some(7), "second"));
        assert_eq!(replaced.map(|old| old.reason.to_string()).as_deref(), Some("first"));
        assert_eq!(list.all().len(), 2);
    }

    #[test]
    fn revoking_takes_one_hosts_or_all_of_a_commit() {
        let mut list = Amnesties::default();
        for of in [None, Some("lab-1"), Some("lab-2")] {
            list.admit(amnesty(1, of, None, "r"));
        }
        list.admit(amnesty(2, None, None, "stays"));
        assert_eq!(list.revoke(&commit(1), Some(&host("lab-1"))).len(), 1);
        assert_eq!(list.revoke(&commit(1), Some(&host("lab-1"))).len(), 0);
        assert_eq!(list.revoke(&commit(1), None).len(), 2);
        assert_eq!(list.all().len(), 1);
    }

    #[test]
    fn a_reason_is_a_line_that_says_something() {
        assert_eq!(Reason::parse("  why not \u{e9}  ").unwrap().as_str(), "why not \u{e9}");
        assert!(Reason::parse(&"x".repeat(MAX_REASON)).is_ok());
        assert_eq!(Reason::parse(" \n "), Err(BadReason::Empty));
        assert_eq!(Reason::parse("a\nb"), Err(BadReason::Control('\n')));
        assert_eq!(Reason::parse("a\u{1b}[2Jb"), Err(BadReason::Control('\u{1b}')));
        assert_eq!(Reason::parse(&"x".repeat(MAX_REASON + 1)), Err(BadReason::TooLong(MAX_REASON + 1)));
    }
}
