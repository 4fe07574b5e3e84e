//! Decides who may upload what now. A plain type: no clock, no disk, no network.
//!
//! It admits one upload per pair, a limited number for each host and in all, and never more declared bytes than the
//! disk can hold. It counts bytes that are admitted but not yet reserved on the disk, so that parallel uploads cannot
//! fill the disk together.
//!
//! The limit per host leaves places for others when one host floods. Several flooding hosts could still take all of
//! them. So the last quarter goes to hosts with nothing in flight: a host with a single upload is let in (I9). There is
//! no queue, because a shipper retries by itself, and a queue would need its own limits, timeouts and fairness.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::ids::{EpisodeId, HostId};
use serde::Serialize;
use tokio::sync::Notify;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most uploads at the same time.
    pub uploads: usize,
    /// The most uploads of one host at the same time.
    pub uploads_per_host: usize,
    /// Bytes of the disk that uploads must leave free.
    pub min_free_bytes: u64,
    /// The most bytes that a host may have stored; `None`: as many as fit.
    pub host_quota_bytes: Option<u64>,
}

impl Limits {
    /// Checks the number of uploads, and that the pair has none in flight.
    fn check_turn(&self, state: &State, host: &HostId, episode: &EpisodeId) -> Result<(), AdmissionRefusal> {
        if state.closed {
            return Err(AdmissionRefusal::ShuttingDown);
        }
        if state.uploads.contains_key(&(host.clone(), episode.clone())) {
            return Err(AdmissionRefusal::PairInFlight);
        }
        let (in_all, of_host) = (state.uploads.len(), state.count_of(host));
        if of_host >= self.uploads_per_host {
            return Err(AdmissionRefusal::TooManyOfHost(self.uploads_per_host));
        }
        if in_all >= self.uploads || (of_host > 0 && in_all >= self.uploads - self.kept_for_newcomers()) {
            return Err(AdmissionRefusal::TooManyUploads(in_all));
        }
        Ok(())
    }

    /// Returns the number of places that only a host with nothing in flight gets.
    const fn kept_for_newcomers(&self) -> usize {
        self.uploads / 4
    }

    /// Checks that this many bytes fit, on the disk and into the host's quota.
    fn check_room(
        &self,
        state: &State,
        host: &HostId,
        length: u64,
        room: Room,
    ) -> Result<(), AdmissionRefusal> {
        let available = room.free_bytes.saturating_sub(state.promised).saturating_sub(self.min_free_bytes);
        if length > available {
            return Err(AdmissionRefusal::DiskFull { length, available });
        }
        let used = room.host_bytes.saturating_add(state.in_flight_of(host));
        match self.host_quota_bytes {
            Some(quota) if length > quota.saturating_sub(used) => {
                Err(AdmissionRefusal::Quota { length, used, quota })
            }
            _ => Ok(()),
        }
    }
}

/// The space on the disk when an upload asks for admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free bytes of the file system.
    pub free_bytes: u64,
    /// Bytes that the host already has stored.
    pub host_bytes: u64,
}

/// The reason why an upload may not begin now. All of these are temporary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefusal {
    /// The service is stopping.
    #[error("the receiver is shutting down")]
    ShuttingDown,
    /// This pair is being uploaded at the moment.
    #[error("this episode is being uploaded right now")]
    PairInFlight,
    /// The limit on uploads in all is reached for this host.
    #[error("{0} uploads are in flight, no more of this host are taken at the moment")]
    TooManyUploads(usize),
    /// The limit on uploads of this host is reached.
    #[error("{0} uploads of this host are in flight, which is the limit")]
    TooManyOfHost(usize),
    /// The declared length does not fit on the disk.
    #[error("{length} bytes do not fit: {available} are available")]
    DiskFull {
        /// The declared length.
        length: u64,
        /// The bytes that uploads may still use.
        available: u64,
    },
    /// The declared length does not fit into the host's quota.
    #[error("{length} bytes do not fit: the host has {used} of its {quota} bytes")]
    Quota {
        /// The declared length.
        length: u64,
        /// The bytes that the host has stored and is uploading.
        used: u64,
        /// The host's quota.
        quota: u64,
    },
}

impl AdmissionRefusal {
    /// Returns true if the limit on the number of uploads is the reason.
    pub const fn is_for_number(&self) -> bool {
        matches!(self, Self::TooManyUploads(_) | Self::TooManyOfHost(_))
    }
}

/// The counters of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AdmissionObservation {
    /// Uploads in flight.
    pub in_flight: usize,
    /// The hosts with uploads in flight.
    pub hosts: usize,
    /// The most uploads at the same time.
    pub limit: usize,
    /// How many of these places only a host with nothing in flight gets.
    pub kept_for_newcomers: usize,
    /// Uploads refused for their number since the start; each was answered a second later.
    pub refused_for_number: u64,
}

/// The uploads in flight. Clones share one state.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Signalled whenever an upload ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// The declared length of each upload.
    uploads: HashMap<(HostId, EpisodeId), u64>,
    /// Declared bytes that the disk does not account for yet.
    promised: u64,
    /// Uploads refused for their number.
    refused: u64,
}

impl Admission {
    /// Creates an admission with nothing in flight.
    pub fn new(limits: Limits) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { limits, state, ended: Notify::new() }) }
    }

    /// Admits an upload of `length` bytes if there is room for it.
    ///
    /// Calls `room` under the lock, so that nothing else is admitted meanwhile: the bytes of another upload count
    /// either as promised or as taken. The outer error is the one from `room`.
    pub fn admit(
        &self,
        host: &HostId,
        episode: &EpisodeId,
        length: u64,
        room: impl FnOnce() -> io::Result<Room>,
    ) -> io::Result<Result<Permit, AdmissionRefusal>> {
        let mut state = self.shared.state();
        if let Err(refusal) = self.shared.limits.check_turn(&state, host, episode) {
            state.refused += u64::from(refusal.is_for_number());
            return Ok(Err(refusal));
        }
        let room = room()?;
        if let Err(refusal) = self.shared.limits.check_room(&state, host, length, room) {
            return Ok(Err(refusal));
        }
        let pair = (host.clone(), episode.clone());
        state.promised += length;
        state.uploads.insert(pair.clone(), length);
        drop(state);
        Ok(Ok(Permit { shared: Arc::clone(&self.shared), pair, promised: length }))
    }

    /// Refuses every upload from now on.
    pub fn close(&self) {
        self.shared.state().closed = true;
    }

    /// Returns the number of uploads in flight.
    pub fn in_flight(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// Returns the counters.
    pub fn observe(&self) -> AdmissionObservation {
        let (limits, state) = (&self.shared.limits, self.shared.state());
        let hosts: HashSet<&HostId> = state.uploads.keys().map(|(host, _)| host).collect();
        AdmissionObservation {
            in_flight: state.uploads.len(),
            hosts: hosts.len(),
            limit: limits.uploads,
            kept_for_newcomers: limits.kept_for_newcomers(),
            refused_for_number: state.refused,
        }
    }

    /// Waits until no upload is in flight.
    pub async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            // Registered before the check, so that an end in between is not missed.
            ended.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl State {
    /// Returns the number of uploads of one host.
    fn count_of(&self, host: &HostId) -> usize {
        self.uploads.keys().filter(|(of, _)| of == host).count()
    }

    /// Returns the declared bytes of one host's uploads.
    fn in_flight_of(&self, host: &HostId) -> u64 {
        self.uploads.iter().filter(|((of, _), _)| of == host).map(|(_, length)| length).sum()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to upload one pair; dropping it frees the place and the bytes.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    pair: (HostId, EpisodeId),
    promised: u64,
}

impl Permit {
    /// Stops counting the bytes as promised, because the disk has reserved them and its free space no longer includes
    /// them.
    pub fn reserved_on_disk(&mut self) {
        self.shared.state().promised -= std::mem::take(&mut self.promised);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.promised -= self.promised;
        state.uploads.remove(&self.pair);
        drop(state);
        self.shared.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
