//! Who may upload what now. A plain type: no clock, no disk, no network.
//!
//! One upload per pair, a bounded number of each host and in all, and never more declared bytes than the disk has room
//! for: what was admitted but not yet reserved on the disk is counted, so that parallel uploads cannot fill it together.
//!
//! A host's bound leaves places to the others when it floods. Several that flood could still take them all, so the last
//! quarter goes to hosts with nothing in flight: whoever comes with a single upload is let in (I9). Nobody waits in line
//! here: a shipper comes again by itself, and a line would have to be bounded, timed and shared out in its turn.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis490_shared::ids::{EpisodeId, HostId};
use serde::Serialize;
use tokio::sync::Notify;

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Uploads at the same time.
    pub uploads: usize,
    /// Uploads of one host at the same time.
    pub uploads_per_host: usize,
    /// Bytes of the disk that are not given to uploads.
    pub min_free_bytes: u64,
    /// Bytes that one host may have stored; none: as many as fit.
    pub host_quota_bytes: Option<u64>,
}

impl Limits {
    /// Whether this pair may be uploaded now at all.
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

    /// Places that only a host with nothing in flight gets.
    const fn kept_for_newcomers(&self) -> usize {
        self.uploads / 4
    }

    /// Whether so many bytes fit, on the disk and into the host's share.
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

/// What is on the disk at the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free bytes of the file system.
    pub free_bytes: u64,
    /// Bytes of the asking host that are stored already.
    pub host_bytes: u64,
}

/// Why an upload may not begin now. All of these pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefusal {
    /// The service is stopping.
    #[error("the receiver is shutting down")]
    ShuttingDown,
    /// This very pair is being uploaded.
    #[error("this episode is being uploaded right now")]
    PairInFlight,
    /// As many uploads as there may be, for this host.
    #[error("{0} uploads are in flight, no more of this host are taken at the moment")]
    TooManyUploads(usize),
    /// As many uploads of this host as there may be.
    #[error("{0} uploads of this host are in flight, no more are taken at a time")]
    TooManyOfHost(usize),
    /// The declared length does not fit on the disk.
    #[error("{length} bytes do not fit: {available} are available")]
    DiskFull {
        /// The declared length.
        length: u64,
        /// What may still be given to uploads.
        available: u64,
    },
    /// The declared length does not fit into the host's share.
    #[error("{length} bytes do not fit: the host has {used} of its {quota} bytes")]
    Quota {
        /// The declared length.
        length: u64,
        /// What the host has stored and is uploading.
        used: u64,
        /// Its share.
        quota: u64,
    },
}

impl AdmissionRefusal {
    /// Whether there are as many uploads as there may be.
    pub const fn is_for_number(&self) -> bool {
        matches!(self, Self::TooManyUploads(_) | Self::TooManyOfHost(_))
    }
}

/// How full an admission is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AdmissionObservation {
    /// Uploads.
    pub in_flight: usize,
    /// The hosts that they are of.
    pub hosts: usize,
    /// How many there may be.
    pub limit: usize,
    /// How many of these places only a host with nothing in flight gets.
    pub kept_for_newcomers: usize,
    /// How many were refused since the start because there were as many as there may be; each was told a second later.
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
    /// Told whenever an upload ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// The declared length of each upload.
    uploads: HashMap<(HostId, EpisodeId), u64>,
    /// Declared bytes that are not on the disk's account yet.
    promised: u64,
    /// How many were refused for their number.
    refused: u64,
}

impl Admission {
    /// An admission with nothing in flight.
    pub fn new(limits: Limits) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { limits, state, ended: Notify::new() }) }
    }

    /// Lets an upload of `length` bytes begin, where there is room for it.
    ///
    /// `room` is asked with nothing else being admitted meanwhile: what another upload reserves on the disk is
    /// counted either as promised or as taken. Its error is the outer one.
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

    /// Admits nothing from now on.
    pub fn close(&self) {
        self.shared.state().closed = true;
    }

    /// How many uploads are in flight.
    pub fn in_flight(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// How full it is.
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
            // Registered before it is asked, so that an end in between is not missed.
            ended.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl State {
    /// How many uploads of one host there are.
    fn count_of(&self, host: &HostId) -> usize {
        self.uploads.keys().filter(|(of, _)| of == host).count()
    }

    /// The declared bytes of one host's uploads.
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

/// The right to upload one pair; dropping it gives everything back.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    pair: (HostId, EpisodeId),
    promised: u64,
}

impl Permit {
    /// The disk itself has reserved the bytes: its free space shows them now, so they are not counted twice.
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
