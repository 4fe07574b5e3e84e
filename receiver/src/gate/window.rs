//! The commit window and its verdicts. Pure: no clock, no git, no disk.
//!
//! A commit outside the window may still be admitted by name ([`super::amnesty`]), also before any window was read. A
//! window stays in force until a newer one is read, whatever happens to the clone meanwhile. A gate that never had a
//! window refuses for the moment and condemns no episode (incident 3).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use cis490_shared::ids::{CommitHash, HostId};
use cis490_shared::latest::Latest;
use cis490_shared::wire::headers::CommitPosition;

use super::amnesty::{Amnesties, Amnesty};
use super::used::Used;

/// The newest commits of the clone, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    commits: Vec<CommitHash>,
    places: HashMap<CommitHash, usize>,
}

/// The error for a clone without commits, which gives no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clone has no commit")]
pub struct EmptyWindow;

impl Window {
    /// Creates a window of these commits, newest first.
    pub fn new(commits: Vec<CommitHash>) -> Result<Self, EmptyWindow> {
        if commits.is_empty() {
            return Err(EmptyWindow);
        }
        let places = commits.iter().enumerate().map(|(place, commit)| (commit.clone(), place + 1)).collect();
        Ok(Self { commits, places })
    }

    /// Returns the commits, newest first; never empty.
    pub fn commits(&self) -> &[CommitHash] {
        &self.commits
    }

    /// Returns the newest commit.
    pub fn head(&self) -> &CommitHash {
        &self.commits[0]
    }

    /// Returns true if the window holds the commit.
    pub fn holds(&self, commit: &CommitHash) -> bool {
        self.places.contains_key(commit)
    }
}

/// The commit that a request names as the recorder of its episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimedCommit {
    /// The request names no commit.
    Missing,
    /// The request names something that is not a commit.
    Malformed,
    /// The request names a well-formed commit.
    Named(CommitHash),
}

/// The gate's answer for one episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted. The row is stamped with the commit if the request names a well-formed one.
    Admitted {
        /// The commit for the row.
        commit: Option<CommitHash>,
        /// The commit's position in the window; `None` if the gate is off and the commit is outside the window.
        position: Option<CommitPosition>,
    },
    /// Admitted by an amnesty, although the commit is outside the window.
    UnderAmnesty {
        /// The commit for the row.
        commit: CommitHash,
        /// The amnesty that admits it.
        amnesty: Box<Amnesty>,
    },
    /// Refused.
    Refused(GateRefusal),
}

/// The reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateRefusal {
    /// The request names no commit.
    Missing,
    /// The named commit is malformed.
    Malformed,
    /// The commit is outside the window.
    NotInWindow {
        /// The named commit.
        commit: CommitHash,
        /// The newest commit of the window.
        head: CommitHash,
        /// The configured size of the window.
        window: usize,
    },
    /// No window has been read yet. This is no fault of the host and no reason to condemn an episode.
    NotReady,
}

/// The gate: its settings, the current window, and the amnesties.
#[derive(Debug)]
pub struct Gate {
    enabled: bool,
    size: usize,
    reading: Option<WindowReading>,
    amnesties: Latest<Amnesties>,
    used: Arc<Used>,
}

/// A window and the time at which the clone last confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowReading {
    /// The window.
    pub window: Window,
    /// The time of the last successful read of the clone.
    pub read_at: SystemTime,
}

/// The state of the gate, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateState {
    /// False: every episode is admitted.
    pub enabled: bool,
    /// The configured size of the window.
    pub size: usize,
    /// The number of commits in the window now; 0 if no window was ever read.
    pub commits: usize,
    /// The newest commit.
    pub head: Option<CommitHash>,
    /// The time of the last successful read of the clone.
    pub read_at: Option<SystemTime>,
}

impl GateState {
    /// Returns true if the gate can give verdicts other than "not ready".
    pub fn is_ready(&self) -> bool {
        !self.enabled || self.head.is_some()
    }
}

impl Gate {
    /// Creates a gate without a window. `size` is the configured number of commits; `enabled: false` admits everything.
    pub fn new(enabled: bool, size: usize) -> Self {
        Self { enabled, size, reading: None, amnesties: Latest::default(), used: Arc::default() }
    }

    /// Returns the same gate with this window instead of its current one.
    #[must_use]
    pub fn with_window(&self, reading: WindowReading) -> Self {
        let (amnesties, used) = (self.amnesties.clone(), Arc::clone(&self.used));
        Self { reading: Some(reading), amnesties, used, ..*self }
    }

    /// Returns the same gate with these amnesties, which it reads anew for each verdict.
    #[must_use]
    pub fn with_amnesties(&self, amnesties: Latest<Amnesties>) -> Self {
        let (reading, used) = (self.reading.clone(), Arc::clone(&self.used));
        Self { reading, amnesties, used, ..*self }
    }

    /// Forgets the used commits that are outside this window; returns those that were used recently.
    pub fn taken_away(&self, window: &Window, now: SystemTime) -> Vec<CommitHash> {
        self.used.taken_away(|commit| window.holds(commit), now)
    }

    /// Returns the amnesties; some of them may have expired.
    pub fn amnesties(&self) -> Arc<Amnesties> {
        self.amnesties.now()
    }

    /// Returns the verdict on an episode of this host that claims this commit. If the host is unknown, only amnesties
    /// for every host count.
    pub fn check(&self, claimed: ClaimedCommit, host: Option<&HostId>, now: SystemTime) -> Verdict {
        match (self.enabled, claimed) {
            (false, ClaimedCommit::Named(commit)) => {
                Verdict::Admitted { position: self.position(&commit), commit: Some(commit) }
            }
            (false, _) => Verdict::Admitted { commit: None, position: None },
            (true, ClaimedCommit::Missing) => Verdict::Refused(GateRefusal::Missing),
            (true, ClaimedCommit::Malformed) => Verdict::Refused(GateRefusal::Malformed),
            (true, ClaimedCommit::Named(commit)) => match self.position(&commit) {
                Some(position) => {
                    self.used.note(&commit, now);
                    Verdict::Admitted { commit: Some(commit), position: Some(position) }
                }
                None => match self.amnesties.now().find(&commit, host, now).cloned() {
                    Some(amnesty) => Verdict::UnderAmnesty { commit, amnesty: Box::new(amnesty) },
                    None => self.refuse(commit),
                },
            },
        }
    }

    /// Returns the refusal for a commit that neither the window nor an amnesty admits.
    fn refuse(&self, commit: CommitHash) -> Verdict {
        let Some(reading) = &self.reading else {
            return Verdict::Refused(GateRefusal::NotReady);
        };
        Verdict::Refused(GateRefusal::NotInWindow {
            commit,
            head: reading.window.head().clone(),
            window: self.size,
        })
    }

    fn position(&self, commit: &CommitHash) -> Option<CommitPosition> {
        let position = *self.reading.as_ref()?.window.places.get(commit)?;
        Some(CommitPosition { position, window: self.size })
    }

    /// Returns the state of the gate.
    pub fn state(&self) -> GateState {
        let window = self.reading.as_ref().map(|reading| &reading.window);
        GateState {
            enabled: self.enabled,
            size: self.size,
            commits: window.map_or(0, |window| window.commits.len()),
            head: window.map(|window| window.head().clone()),
            read_at: self.reading.as_ref().map(|reading| reading.read_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use cis490_shared::moment::Moment;

    use super::*;
    use crate::gate::amnesty::Reason;

    fn commit(byte: u8) -> CommitHash {
        CommitHash::parse(&format!("{byte:02x}").repeat(20)).unwrap()
    }

    fn gate(enabled: bool, commits: &[u8]) -> Gate {
        let mut gate = Gate::new(enabled, 100);
        if let Ok(window) = Window::new(commits.iter().map(|byte| commit(*byte)).collect()) {
            gate = gate.with_window(WindowReading { window, read_at: SystemTime::UNIX_EPOCH });
        }
        gate
    }

    fn position(position: usize) -> CommitPosition {
        CommitPosition { position, window: 100 }
    }

    #[test]
    fn the_verdict_for_every_claim() {
        use ClaimedCommit::{Malformed, Missing, Named};
        let admitted = |byte: u8, place| Verdict::Admitted { commit: Some(commit(byte)), position: place };
        let unstamped = Verdict::Admitted { commit: None, position: None };
        let outside = GateRefusal::NotInWindow { commit: commit(9), head: commit(1), window: 100 };
        let cases = [
            (true, &[1, 2][..], Named(commit(1)), admitted(1, Some(position(1)))),
            (true, &[1, 2], Named(commit(2)), admitted(2, Some(position(2)))),
            (true, &[1, 2], Named(commit(9)), Verdict::Refused(outside)),
            (true, &[1, 2], Missing, Verdict::Refused(GateRefusal::Missing)),
            (true, &[1, 2], Malformed, Verdict::Refused(GateRefusal::Malformed)),
            (true, &[], Named(commit(1)), Verdict::Refused(GateRefusal::NotReady)),
            (false, &[1, 2], Named(commit(2)), admitted(2, Some(position(2)))),
            (false, &[1, 2], Named(commit(9)), admitted(9, None)),
            (false, &[], Named(commit(1)), admitted(1, None)),
            (false, &[1], Missing, unstamped.clone()),
            (false, &[1], Malformed, unstamped),
        ];
        for (enabled, commits, claim, verdict) in cases {
            assert_eq!(
                gate(enabled, commits).check(claim.clone(), None, SystemTime::UNIX_EPOCH),
                verdict,
                "{enabled} {commits:?} {claim:?}"
            );
        }
    }

    #[test]
    fn a_newer_window_takes_the_place_of_the_one_before() {
        let mut gate = gate(true, &[2, 3]);
        let window = Window::new(vec![commit(1), commit(2)]).unwrap();
        gate = gate.with_window(WindowReading { window, read_at: SystemTime::UNIX_EPOCH });
        let check = |byte| gate.check(ClaimedCommit::Named(commit(byte)), None, SystemTime::UNIX_EPOCH);
        assert!(matches!(check(1), Verdict::Admitted { .. }));
        assert!(matches!(check(3), Verdict::Refused(_)));
    }

    #[test]
    fn an_amnesty_admits_what_nothing_else_does_and_survives_a_newer_window() {
        let host = HostId::parse("lab-1").unwrap();
        let amnesty = |byte| Amnesty {
            commit: commit(byte),
            host: Some(host.clone()),
            until: None,
            reason: Reason::parse("why").unwrap(),
            by: Reason::parse("alice").unwrap(),
            at: Moment::of(SystemTime::UNIX_EPOCH),
        };
        let mut named = Amnesties::default();
        named.admit(amnesty(1));
        named.admit(amnesty(9));
        let verdict = |gate: &Gate, byte, of: Option<&HostId>| {
            let claimed = ClaimedCommit::Named(commit(byte));
            match gate.check(claimed, of, SystemTime::UNIX_EPOCH) {
                Verdict::Admitted { position: Some(_), .. } => "window",
                Verdict::Admitted { position: None, .. } => "off",
                Verdict::UnderAmnesty { .. } => "amnesty",
                Verdict::Refused(GateRefusal::NotInWindow { .. }) => "outside",
                Verdict::Refused(GateRefusal::NotReady) => "not ready",
                Verdict::Refused(_) => "odd",
            }
        };
        let unread = gate(true, &[]).with_amnesties(Latest::new(named.clone()));
        assert_eq!(verdict(&unread, 9, Some(&host)), "amnesty", "it is by name, so no window is needed");
        assert_eq!(verdict(&unread, 8, Some(&host)), "not ready");
        let window = Window::new(vec![commit(1)]).unwrap();
        let read = unread.with_window(WindowReading { window, read_at: SystemTime::UNIX_EPOCH });
        assert_eq!(verdict(&read, 1, Some(&host)), "window");
        assert_eq!(verdict(&read, 9, Some(&host)), "amnesty");
        assert_eq!(verdict(&read, 9, None), "outside");
        assert_eq!(verdict(&gate(false, &[]).with_amnesties(Latest::new(named)), 9, Some(&host)), "off");
        assert_eq!(verdict(&read.with_amnesties(Latest::default()), 9, Some(&host)), "outside");
    }

    #[test]
    fn readiness_needs_a_window_only_while_the_gate_is_on() {
        assert!(!gate(true, &[]).state().is_ready());
        assert!(gate(false, &[]).state().is_ready());
        assert!(gate(true, &[1]).state().is_ready());
    }
}
