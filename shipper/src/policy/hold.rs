//! Decides when the whole queue waits, because the trouble is not about one episode.
//!
//! Pure: time and randomness are passed in. While a hold is on, the shipper makes a single attempt per back-off step,
//! whatever the length of the backlog. A person is told once per change of the cause.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::policy::schedule::{LONGEST_RETRY_AFTER, delay};

/// Why the queue waits. Two causes are equal if a person need not be told of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection, or none that lasted.
    Unreachable,
    /// The receiver or this host rejects the other's certificate.
    TlsRejected,
    /// The receiver answers, but takes nothing at the moment.
    Unavailable,
    /// The receiver takes nothing from this host as it is configured; the status says why.
    Blocked(u16),
    /// Several episodes in a row failed one by one.
    Failing,
    /// Delivered or refused episodes cannot be moved out of `episodes/`.
    Unmovable,
}

/// The effect of a failure on the hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A hold began, or it has another cause now: worth a log entry.
    Began,
    /// The hold and its cause are known already.
    Same,
}

/// The attempts that may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// As many attempts as there are uploaders.
    Free,
    /// A single attempt, to see whether the trouble is over.
    Probe,
    /// No attempt before this time.
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
    /// Returns the attempts that may be made at `now`.
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.active {
            None => Permit::Free,
            Some(active) if now >= active.until => Permit::Probe,
            Some(active) => Permit::NotBefore(active.until),
        }
    }

    /// Returns the cause of the current hold.
    pub fn cause(&self) -> Option<Cause> {
        self.active.as_ref().map(|active| active.cause)
    }

    /// Records a failure. Uploads that were under way when the hold began do not prolong it, but a `Retry-After` of the
    /// receiver always counts.
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

    /// Allows the next attempt at once, because the cause of the hold may have been fixed.
    pub fn cut_short(&mut self, now: Instant) {
        if let Some(active) = &mut self.active {
            active.until = active.until.min(now);
        }
    }

    /// Ends the hold, because something got through. Returns its cause if there was a hold.
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
