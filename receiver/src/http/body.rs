//! The body of a request, whose sender must keep a minimum pace.
//!
//! The HTTP library waits for a body without a limit. A client that stalls, or sends a byte now and then, would keep
//! its place among the uploads for ever. Only time spent waiting for the client counts, because a busy disk is not the
//! client's fault.

use std::time::Duration;

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::config::limits::Pace;

/// The reason why a body did not come to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// The sender does not keep the pace.
    TooSlow(TooSlow),
    /// The body broke off, or does not match its head.
    Broken(PayloadError),
}

/// The way in which a sender missed the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooSlow {
    /// No byte came within the idle limit.
    #[error("no byte of the body arrived for {seconds} seconds")]
    Stalled {
        /// Too few bytes came in that time.
        seconds: u64,
    },
    /// Too little came over that time.
    #[error("{bytes} bytes of the body arrived in {seconds} seconds, at least {least} a second are required")]
    Dribbled {
        /// The number of bytes that came.
        bytes: u64,
        /// The time in seconds.
        seconds: u64,
        /// The minimum, in bytes a second.
        least: u64,
    },
}

/// A body whose sender must keep the pace.
#[derive(Debug)]
pub struct PacedBody<S> {
    parts: S,
    pace: Pace,
    /// The time spent waiting for the client since its average was last checked.
    waited: Duration,
    /// The number of bytes that came in that time.
    came: u64,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> PacedBody<S> {
    /// Creates the body that consists of these parts.
    pub const fn new(parts: S, pace: Pace) -> Self {
        Self { parts, pace, waited: Duration::ZERO, came: 0 }
    }

    /// Returns the next part; `None` at the end of the body.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Interrupted> {
        let began = Instant::now();
        let Ok(next) = tokio::time::timeout(self.pace.idle, self.parts.next()).await else {
            return Err(Interrupted::TooSlow(TooSlow::Stalled { seconds: self.pace.idle.as_secs() }));
        };
        let Some(part) = next.transpose().map_err(Interrupted::Broken)? else { return Ok(None) };
        self.waited += began.elapsed();
        self.came += part.len() as u64;
        self.keep_pace().map_err(Interrupted::TooSlow)?;
        Ok(Some(part))
    }

    fn keep_pace(&mut self) -> Result<(), TooSlow> {
        if self.waited < self.pace.idle {
            return Ok(());
        }
        let (seconds, bytes) = (self.waited.as_secs(), self.came);
        (self.waited, self.came) = (Duration::ZERO, 0);
        let least = self.pace.bytes_per_s;
        if bytes < least.saturating_mul(seconds) {
            return Err(TooSlow::Dribbled { bytes, seconds, least });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const PACE: Pace = Pace { idle: Duration::from_secs(30), bytes_per_s: 100 };

    /// Reads parts, each of (seconds until it comes, bytes). Returns the bytes that came and the refusal that ended the
    /// body.
    async fn read(parts: &[(u64, usize)], pace: Pace) -> (usize, Option<TooSlow>) {
        let parts = stream::iter(parts.to_vec()).then(|(seconds, bytes)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(Bytes::from(vec![0; bytes]))
        });
        let mut body = PacedBody::new(Box::pin(parts), pace);
        let mut came = 0;
        loop {
            match body.next().await {
                Ok(Some(part)) => came += part.len(),
                Ok(None) => return (came, None),
                Err(Interrupted::TooSlow(refusal)) => return (came, Some(refusal)),
                Err(Interrupted::Broken(error)) => panic!("{error}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribble_ends_however_often_a_byte_comes_and_whatever_came_before() {
        let (came, refusal) = read(&[(1, 1); 100], PACE).await;
        assert!(
            matches!(refusal, Some(TooSlow::Dribbled { bytes: 30, seconds: 30, least: 100 })),
            "{refusal:?}"
        );
        assert_eq!(came, 29);
        let after_a_good_start = [&[(0, 1_000_000)][..], &[(29, 1); 100]].concat();
        let (came, refusal) = read(&after_a_good_start, PACE).await;
        assert!(matches!(refusal, Some(TooSlow::Dribbled { bytes: 2, seconds: 58, .. })), "{refusal:?}");
        assert_eq!(came, 1_000_000 + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_keeps_the_pace_may_take_hours() {
        assert!(matches!(read(&[(10, 1_000); 1_000], PACE).await, (1_000_000, None)));
        assert!(matches!(read(&[(29, 3_000); 1_000], PACE).await, (3_000_000, None)));
        let any = Pace { bytes_per_s: 0, ..PACE };
        assert!(matches!(read(&[(29, 1); 1_000], any).await, (1_000, None)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_ends_though_no_rate_is_asked_for() {
        let any = Pace { bytes_per_s: 0, ..PACE };
        let (came, refusal) = read(&[(1, 5), (31, 5)], any).await;
        assert!(matches!((came, refusal), (5, Some(TooSlow::Stalled { seconds: 30 }))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_we_take_ourselves_does_not_count() {
        let parts = stream::iter((0..10).map(|_| Ok(Bytes::from_static(b"x"))));
        let mut body = PacedBody::new(parts, PACE);
        while body.next().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }
}
