//! When the whole queue waits, because the trouble is not about one episode.
//!
//! Pure: time and randomness are handed in. While a hold is on, one single attempt is made per back-off
//! step, whatever the length of the backlog, and a person hears about it once per change of its cause.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::policy::schedule::{LONGEST_RETRY_AFTER, delay};

/// Why the queue waits. Two causes are the same if a person would not want to hear of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection, or none that lasted.
    Unreachable,
    /// Receiver and host do not take each other's certificates.
    TlsRejected,
    /// The receiver answers, but takes nothing at the moment.
    Unavailable,
    /// Nothing of this host is taken as it is set up; the status says why.
    Blocked(u16),
    /// Several episodes in a row failed one by one.
    Failing,
    /// What was delivered or refused cannot be moved out of `episodes/`.
    Unmovable,
}

/// What a failure changed about the hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was no hold before, or it had another cause: worth a log entry.
    Began,
    /// Known already.
    Same,
}

/// Whether an attempt may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// As many as there are uploaders.
    Free,
    /// A single one, to see whether the trouble is over.
    Probe,
    /// None before that moment.
    NotBefore(Instant),
}

/// The hold on the whole queue, if there is one.
#[derive(Debug, Default)]
pub struct Hold {
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    cause: Cause,
    failures: u32,
    until: Instant,
}

impl Hold {
    /// Whether, and how, something may be tried at `now`.
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.active {
            None => Permit::Free,
            Some(active) if now >= active.until => Permit::Probe,
            Some(active) => Permit::NotBefore(active.until),
        }
    }

    /// The cause of the hold that is on.
    pub fn cause(&self) -> Option<Cause> {
        self.active.as_ref().map(|active| active.cause)
    }

    /// Takes note of a failure. Uploads that were under way when the hold began do not lengthen it, but what
    /// the receiver asked for counts always.
    pub fn fail(
        &mut self,
        cause: Cause,
        retry_after: Option<Duration>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Change {
        let Some(active) = &mut self.active else {
            self.active = Some(Active { cause, failures: 1, until: now + delay(1, retry_after, rng) });
            return Change::Began;
        };
        if now >= active.until {
            active.failures += 1;
            active.until = now + delay(active.failures, retry_after, rng);
        } else if let Some(asked) = retry_after {
            active.until = active.until.max(now + asked.min(LONGEST_RETRY_AFTER));
        }
        let known = active.cause == cause;
        active.cause = cause;
        if known { Change::Same } else { Change::Began }
    }

    /// Lets the next attempt be made at once: what the hold is about may have been mended.
    pub fn cut_short(&mut self, now: Instant) {
        if let Some(active) = &mut self.active {
            active.until = active.until.min(now);
        }
    }

    /// Ends the hold: something got through. The cause that it had, where there was a hold.
    pub fn end(&mut self) -> Option<Cause> {
        self.active.take().map(|active| active.cause)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::policy::schedule::BASE;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[test]
    fn one_probe_per_step_and_the_steps_grow() {
        let (mut hold, mut rng, start) = (Hold::default(), rng(), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..12 {
            hold.fail(Cause::Unreachable, None, now, &mut rng);
            let Permit::NotBefore(until) = hold.permit(now) else { panic!("a hold is on") };
            waits.push(until - now);
            now = until;
            assert_eq!(hold.permit(now), Permit::Probe);
        }
        assert!(waits[0] <= BASE && waits[11] > Duration::from_secs(100), "{waits:?}");
    }

    #[test]
    fn uploads_that_were_under_way_do_not_lengthen_the_hold() {
        let (mut hold, mut rng, now) = (Hold::default(), rng(), Instant::now());
        assert_eq!(hold.fail(Cause::Unreachable, None, now, &mut rng), Change::Began);
        let before = hold.permit(now);
        assert_eq!(hold.fail(Cause::Unreachable, None, now, &mut rng), Change::Same);
        assert_eq!(hold.permit(now), before);
        hold.fail(Cause::Unreachable, Some(Duration::from_mins(1)), now, &mut rng);
        assert_eq!(hold.permit(now), Permit::NotBefore(now + Duration::from_mins(1)));
    }

    #[test]
    fn a_hold_that_is_cut_short_lets_one_attempt_through_and_goes_on_if_that_fails() {
        let (mut hold, mut rng, now) = (Hold::default(), rng(), Instant::now());
        hold.cut_short(now);
        assert_eq!(hold.permit(now), Permit::Free);
        for _ in 0..9 {
            hold.fail(Cause::Blocked(401), None, now, &mut rng);
        }
        hold.cut_short(now);
        assert_eq!(hold.permit(now), Permit::Probe);
        hold.fail(Cause::Blocked(401), None, now, &mut rng);
        assert!(matches!(hold.permit(now), Permit::NotBefore(_)));
    }

    #[test]
    fn only_a_change_of_the_cause_is_news() {
        let (mut hold, mut rng, now) = (Hold::default(), rng(), Instant::now());
        assert_eq!(hold.fail(Cause::Unreachable, None, now, &mut rng), Change::Began);
        assert_eq!(hold.fail(Cause::Blocked(401), None, now, &mut rng), Change::Began);
        assert_eq!(hold.fail(Cause::Blocked(401), None, now, &mut rng), Change::Same);
        assert_eq!(hold.fail(Cause::Blocked(403), None, now, &mut rng), Change::Began);
        assert_eq!(hold.end(), Some(Cause::Blocked(403)));
        assert_eq!((hold.end(), hold.permit(now)), (None, Permit::Free));
    }
}
