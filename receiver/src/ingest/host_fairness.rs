//! Hosts take turns at the disk with their short uploads.
//!
//! A host that sends over many connections has many uploads at the disk at the same time. A single upload of another
//! host would wait among all of them (I9). So while another host is active, a host may have only a few uploads at the
//! disk; its other uploads wait in line. A host that is alone never waits, and most hosts never reach the limit. Long
//! uploads take no turns, because they give way by themselves (see [`super::sync_scheduler`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cis490_shared::ids::HostId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The most uploads of one host at the disk while others are active: more than a shipper sends at a time.
const AT_ONCE: usize = 4;
/// How long a host counts as active after its last upload, because another one is expected.
const LULL: Duration = Duration::from_secs(1);

/// The hosts with short uploads. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct HostFairness {
    hosts: Arc<Mutex<HashMap<HostId, Host>>>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Host {
    uploads: usize,
    /// The time at which the last of these began or ended.
    seen: Instant,
    line: Arc<Semaphore>,
}

impl HostFairness {
    /// Registers a short upload of this host; its bytes may still be on their way.
    pub fn arrive(&self, host: &HostId) -> WaitingUpload {
        let now = Instant::now();
        let mut hosts = self.hosts();
        hosts.retain(|_, known| known.is_about(now));
        let new = || Host { uploads: 0, seen: now, line: Arc::new(Semaphore::new(AT_ONCE)) };
        let known = hosts.entry(host.clone()).or_insert_with(new);
        known.uploads += 1;
        known.seen = now;
        WaitingUpload { fairness: self.clone(), host: host.clone() }
    }

    /// Returns the number of uploads that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<HostId, Host>> {
        // No code that holds the lock can panic half-way through a change.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn is_about(&self, now: Instant) -> bool {
        self.uploads > 0 || now.duration_since(self.seen) < LULL
    }
}

/// A short upload, from its head to its receipt.
#[derive(Debug)]
pub struct WaitingUpload {
    fairness: HostFairness,
    host: HostId,
}

/// An upload's turn at the disk.
#[derive(Debug)]
pub struct Turn {
    /// Given back at the end; `None` if no other host was active.
    _place: Option<OwnedSemaphorePermit>,
}

impl WaitingUpload {
    /// Waits for the upload's turn.
    pub async fn turn(&self) -> Turn {
        let line = self.line();
        let place = match line {
            Some(line) => {
                let _waits = Waits::begin(&self.fairness.waiting);
                // No code closes the semaphore.
                line.acquire_owned().await.ok()
            }
            None => None,
        };
        Turn { _place: place }
    }

    /// Returns the line of the upload's host; `None` if no other host is active.
    fn line(&self) -> Option<Arc<Semaphore>> {
        let (hosts, now) = (self.fairness.hosts(), Instant::now());
        let is_alone = hosts.iter().all(|(host, known)| *host == self.host || !known.is_about(now));
        hosts.get(&self.host).filter(|_| !is_alone).map(|known| Arc::clone(&known.line))
    }
}

/// Counts an upload as waiting until it is dropped, even if the wait is cancelled.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for WaitingUpload {
    fn drop(&mut self) {
        if let Some(known) = self.fairness.hosts().get_mut(&self.host) {
            known.uploads -= 1;
            known.seen = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn host(name: &str) -> HostId {
        HostId::parse(name).unwrap()
    }

    /// Returns the uploads of a host that get their turn at once, each with the turn that it holds.
    fn turns_at_once(fairness: &HostFairness, name: &str, uploads: usize) -> Vec<(Turn, WaitingUpload)> {
        let arrived = (0..uploads).map(|_| fairness.arrive(&host(name)));
        arrived.filter_map(|arrived| Some((arrived.turn().now_or_never()?, arrived))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_held_up_only_while_another_one_is_about() {
        let fairness = HostFairness::default();
        let alone = turns_at_once(&fairness, "flood", 20);
        assert_eq!(alone.len(), 20);
        let good = turns_at_once(&fairness, "lab-1", 2);
        assert_eq!(good.len(), 2);
        assert_eq!(turns_at_once(&fairness, "flood", 20).len(), AT_ONCE);
        drop(good);
        tokio::time::advance(LULL / 2).await;
        assert_eq!(turns_at_once(&fairness, "flood", 20).len(), AT_ONCE, "another one is expected");
        tokio::time::advance(LULL).await;
        assert_eq!(turns_at_once(&fairness, "flood", 20).len(), 20);
        assert_eq!(turns_at_once(&fairness, "lab-1", 1).len(), 1);
        drop(alone);
        tokio::time::advance(2 * LULL).await;
        drop(fairness.arrive(&host("lab-2")));
        assert_eq!(fairness.hosts().len(), 1, "who is gone is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_next_when_one_of_his_own_is_through() {
        let fairness = HostFairness::default();
        let _good = fairness.arrive(&host("lab-1"));
        let mut at_disk = turns_at_once(&fairness, "flood", AT_ONCE);
        let next = fairness.arrive(&host("flood"));
        let turn = next.turn();
        tokio::pin!(turn);
        assert!(turn.as_mut().now_or_never().is_none());
        assert_eq!(fairness.waiting(), 1);
        drop(at_disk.pop());
        turn.await;
        assert_eq!(fairness.waiting(), 0);
    }
}
