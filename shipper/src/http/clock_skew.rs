//! How far the receiver's clock is ahead of this host's, by the `Date` of its answers.
//!
//! Certificates and tokens need clocks that agree. So a difference of minutes is logged once when it is found and once
//! when it is over. This module sets no clock. An answer that took long does not count, because its `Date` is too
//! inexact.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use awc::http::header::{self, HeaderMap, HttpDate};
use cis490_shared::clock::system_time;
use jiff::SignedDuration;
use tokio::time::Instant;
use tracing::{info, warn};

/// The difference beyond which a person should check the clocks.
pub const TOO_MUCH: SignedDuration = SignedDuration::from_secs(120);
/// The difference below which the clocks agree again. It is lower than [`TOO_MUCH`], so that a difference at the edge
/// is not logged again and again.
const MENDED: SignedDuration = SignedDuration::from_secs(100);
/// The longest round trip that counts. After a longer one, the time at which the answer was dated is too uncertain.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(10);
/// `Date` has whole seconds, so the real time was half a second later on average.
const HALF_OF_A_SECOND: Duration = Duration::from_millis(500);

/// The difference as measured last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ClockSkew(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    skew: Option<SignedDuration>,
    is_too_much: bool,
}

/// A change that is logged for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    TooMuch,
    Mended,
}

impl ClockSkew {
    /// Returns the receiver's clock minus this host's. `None` before the first answer with a usable `Date`.
    pub fn seen(&self) -> Option<SignedDuration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).skew
    }

    /// Records the `Date` of an answer that has just come to a request that began at `asked`.
    pub fn note(&self, headers: &HeaderMap, asked: Instant) {
        let date = headers.get(header::DATE).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(skew) = date.and_then(|date| skew(date, asked.elapsed(), system_time())) else { return };
        let change = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(skew);
        let ahead_s = skew.as_secs();
        match change {
            Some(Change::TooMuch) => warn!(
                ahead_s,
                help = "check both clocks with `timedatectl` and set the wrong one; a wrong clock gets certificates \
                        refused",
                "clocks of receiver and host differ by minutes"
            ),
            Some(Change::Mended) => info!(ahead_s, "the clocks of the receiver and of this host agree again"),
            None => {}
        }
    }
}

impl State {
    fn take(&mut self, skew: SignedDuration) -> Option<Change> {
        self.skew = Some(skew);
        match (self.is_too_much, skew.abs()) {
            (false, size) if size > TOO_MUCH => {
                self.is_too_much = true;
                Some(Change::TooMuch)
            }
            (true, size) if size < MENDED => {
                self.is_too_much = false;
                Some(Change::Mended)
            }
            _ => None,
        }
    }
}

/// Returns the difference by an answer that came at `now`. `None` if its round trip took too long.
fn skew(date: HttpDate, round_trip: Duration, now: SystemTime) -> Option<SignedDuration> {
    let ours = now.checked_sub(round_trip / 2)?;
    let theirs = SystemTime::from(date).checked_add(HALF_OF_A_SECOND)?;
    let skew = SignedDuration::system_until(ours, theirs).ok()?;
    (round_trip <= LONGEST_ROUND_TRIP).then_some(skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(488_892)
    }

    #[test]
    fn the_moment_of_an_answer_is_taken_to_be_the_middle_of_its_round_trip() {
        let at = |now: SystemTime, round_trip| {
            let noon = HttpDate::from(noon());
            skew(noon, Duration::from_millis(round_trip), now).map(|skew| skew.as_millis())
        };
        let s = Duration::from_secs;
        assert_eq!(at(noon() + Duration::from_millis(500), 0), Some(0));
        assert_eq!(at(noon() + Duration::from_millis(1500), 2000), Some(0));
        assert_eq!(at(noon() + s(300), 1000), Some(-299_000));
        assert_eq!(at(noon() - s(300), 1000), Some(301_000));
        assert_eq!(at(noon(), 10_001), None, "it may have been dated at any time in between");
    }

    #[test]
    fn a_difference_of_minutes_is_said_once_and_so_is_its_end() {
        let mut state = State::default();
        let mut take = |seconds| state.take(SignedDuration::from_secs(seconds));
        assert_eq!((take(1), take(-120)), (None, None));
        assert_eq!((take(-121), take(-500), take(110)), (Some(Change::TooMuch), None, None));
        assert_eq!((take(-99), take(99), take(130)), (Some(Change::Mended), None, Some(Change::TooMuch)));
    }

    #[test]
    fn an_answer_without_a_date_or_with_a_strange_one_says_nothing() {
        let (skew, mut headers) = (ClockSkew::default(), HeaderMap::new());
        skew.note(&headers, Instant::now());
        headers.insert(header::DATE, header::HeaderValue::from_static("yesterday"));
        skew.note(&headers, Instant::now());
        assert_eq!(skew.seen(), None);
        let then = header::HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
        headers.insert(header::DATE, then);
        skew.note(&headers, Instant::now());
        assert!(skew.clone().seen().unwrap() < SignedDuration::from_hours(-24 * 365));
    }
}
