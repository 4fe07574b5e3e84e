//! Every move between the places, made so that a loss of power never takes both names of an episode.
//!
//! A call renames all its episodes, then syncs their destinations, then the place that they left. No episode counts as
//! moved before that. Syncing `episodes/` makes every earlier removal durable, even if its destination was never
//! synced. So destinations in doubt are synced before the next move. Moves go in one direction at a time, in all
//! processes: the shipper, and a person's `quarantine release` beside it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use cis490_shared::archive::{DONE_MARKER, REASON_NAME};
use cis490_shared::durable::{self, FileLock};
use cis490_shared::ids::EpisodeId;
use cis490_shared::step::Step;

use crate::store::layout::{Dirs, DirsError, failed, is_there, remove_file};
use crate::store::quarantine::{MoveBack, Reason};

/// The lock that a process holds while it moves.
const LOCK_NAME: &str = ".moves.lock";
/// How long this process waits while another one moves.
const PATIENCE: Duration = Duration::from_secs(30);
/// Exists while episodes return, so that a run that finds it knows the direction of the last moves. It need not survive
/// a loss of power, after which nothing is in doubt.
const RETURNING_NAME: &str = ".returning";
const REASON_MODE: u32 = 0o640;
const LOCK_MODE: u32 = 0o640;
/// The most episodes of one id that are kept before a person must act.
const MAX_COPIES: u32 = 1000;
/// The directory that tests moves. No episode id begins with a dot.
const PROBE_NAME: &str = ".probe";

/// An episode that leaves `episodes/`.
#[derive(Debug, Clone)]
pub struct MoveOut {
    /// The id of the episode.
    pub id: EpisodeId,
    /// Why it was refused. `None` if the receiver has it.
    pub refused: Option<Reason>,
}

impl Dirs {
    /// Puts episodes away, then removes their archives. Refused ones go to `quarantine/` with the reason in them, all
    /// others to `shipped/`. Returns the results in the order of the episodes.
    pub fn put_away(&self, leaving: &[MoveOut]) -> Vec<Result<(), DirsError>> {
        // A thread that panicked while it held the lock left the flag set: in doubt.
        let mut in_doubt = self.in_doubt.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = match self.begin_moves(&mut in_doubt) {
            Ok(lock) => lock,
            Err(error) => return leaving.iter().map(|_| Err(error.again())).collect(),
        };
        let noted: Vec<_> = leaving.iter().map(|leaving| self.write_reason(leaving)).collect();
        *in_doubt = true;
        let mut done: Vec<_> = leaving
            .iter()
            .zip(noted)
            .map(|(leaving, noted)| {
                let moved = noted.and_then(|()| self.rename(&leaving.id, &self.place(leaving)));
                match (&moved, self.has_episode(&leaving.id)) {
                    (Err(_), Ok(false)) => Err(DirsError::Gone(self.episode(&leaving.id))),
                    _ => moved,
                }
            })
            .collect();
        let renamed: Vec<_> =
            leaving.iter().zip(&done).filter(|(_, done)| done.is_ok()).map(|(leaving, _)| leaving).collect();
        let synced = if renamed.is_empty() { Ok(()) } else { self.sync_moves(&renamed) };
        // A rename that failed may still have happened.
        *in_doubt = synced.is_err() || renamed.len() < leaving.len();
        for (leaving, done) in leaving.iter().zip(&mut done).filter(|(_, done)| done.is_ok()) {
            *done = match &synced {
                Ok(()) => self.remove_archive(&leaving.id),
                Err(error) => Err(error.again()),
            };
        }
        done
    }

    /// Moves episodes back from `quarantine/` to `episodes/`, if no episode of that id is there. Returns the results in
    /// the order of the episodes. The note of the refusal stays in the episode, but no archive contains it.
    pub fn release(&self, returning: &[MoveBack]) -> Vec<Result<(), DirsError>> {
        let mut in_doubt = self.in_doubt.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |error: &DirsError| returning.iter().map(|_| Err(error.again())).collect();
        let _lock = match self.begin_moves(&mut in_doubt) {
            Ok(lock) => lock,
            Err(error) => return all(&error),
        };
        let marker = self.root.join(RETURNING_NAME);
        if let Err(error) = File::create(&marker) {
            return all(&failed("create", &marker)(error));
        }
        let done: Vec<_> = returning
            .iter()
            .map(|returning| {
                let from = self.quarantine_root().join(&returning.name);
                relocate(&from, &self.episode(&returning.id)).map_err(failed("move", &from))
            })
            .collect();
        // A rename that failed may have happened, so all episodes count as moved here.
        match self.sync_returns().and_then(|()| remove_file(&marker)) {
            Ok(()) => done,
            Err(error) => done.into_iter().map(|done| done.and_then(|()| Err(error.again()))).collect(),
        }
    }

    /// Creates the lock file of moves, durably.
    pub(super) fn prepare_moves(&self) -> Result<(), DirsError> {
        let path = self.root.join(LOCK_NAME);
        durable::create_file(&path, LOCK_MODE).map_err(failed("create", &path))
    }

    /// Keeps every other process from moving, and settles earlier moves in doubt.
    fn begin_moves(&self, in_doubt: &mut bool) -> Result<FileLock, DirsError> {
        let path = self.root.join(LOCK_NAME);
        let lock = FileLock::take(&path, PATIENCE).map_err(failed("lock", &path))?;
        let marker = self.root.join(RETURNING_NAME);
        if is_there(&marker).map_err(failed("read", &marker))? {
            self.sync_returns()?;
            remove_file(&marker)?;
        }
        if *in_doubt {
            for path in [self.shipped(), self.quarantine_root(), self.episodes()] {
                durable::sweep_carried(&path).map_err(failed("remove a copy from", &path))?;
            }
            for path in [self.shipped(), self.quarantine_root()] {
                Step::SyncPlaces.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))?;
            }
            *in_doubt = false;
        }
        Ok(lock)
    }

    fn place(&self, leaving: &MoveOut) -> PathBuf {
        if leaving.refused.is_some() { self.quarantine_root() } else { self.shipped() }
    }

    fn write_reason(&self, leaving: &MoveOut) -> Result<(), DirsError> {
        let Some(reason) = &leaving.refused else { return Ok(()) };
        let path = self.episode(&leaving.id).join(REASON_NAME);
        durable::replace_file(&path, &reason.to_json(), REASON_MODE).map_err(failed("write", &path))
    }

    /// Renames an episode to a name below `to`. Adds a number if an episode of that id is there already, so that no
    /// kept episode is ever replaced.
    fn rename(&self, id: &EpisodeId, to: &Path) -> Result<(), DirsError> {
        let from = self.episode(id);
        for copy in 0..MAX_COPIES {
            let name = if copy == 0 { id.to_string() } else { format!("{id}.{copy}") };
            match relocate(&from, &to.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                done => return done.map_err(failed("move", &from)),
            }
        }
        Err(failed("move", &from)(ErrorKind::AlreadyExists.into()))
    }

    /// Makes the arrivals durable, and only then the departures.
    fn sync_moves(&self, renamed: &[&MoveOut]) -> Result<(), DirsError> {
        let places: BTreeSet<PathBuf> = renamed.iter().map(|leaving| self.place(leaving)).collect();
        for path in places {
            Step::SyncMovedTo.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))?;
        }
        let path = self.episodes();
        Step::SyncMovedFrom.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))
    }

    /// Does the same for episodes that returned.
    fn sync_returns(&self) -> Result<(), DirsError> {
        let sync = |path: PathBuf| {
            Step::SyncReturned.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))
        };
        sync(self.episodes())?;
        sync(self.quarantine_root())
    }

    /// Tests at the start whether episodes can be moved, with a directory of our own that goes through all places.
    /// Otherwise a place on another mount or of another user would show only when the first episode was delivered.
    /// Returns the first two places with a mount between them, where a directory is copied instead. `None` if there are
    /// none.
    pub fn probe_moves(&self) -> Result<Option<(PathBuf, PathBuf)>, DirsError> {
        let places = [self.episodes(), self.outbox(), self.shipped(), self.quarantine_root()];
        // Left by a run that died.
        places.iter().try_for_each(|place| remove_probe(place))?;
        create_probe(&places[0])?;
        let mut apart = None;
        for (from, to) in places.iter().zip(places.iter().cycle().skip(1)) {
            match durable::rename_noreplace(&from.join(PROBE_NAME), &to.join(PROBE_NAME)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                    apart.get_or_insert_with(|| (from.clone(), to.clone()));
                    create_probe(to)?;
                    remove_probe(from)?;
                }
                Err(error) => {
                    remove_probe(from)?;
                    return Err(failed("move a directory to", to)(error));
                }
            }
        }
        remove_probe(&places[0]).map(|()| apart)
    }
}

/// Moves an episode to a free name. A directory that cannot be renamed is copied, then deleted.
fn relocate(from: &Path, to: &Path) -> io::Result<()> {
    match durable::rename_noreplace(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            durable::carry_noreplace(from, to, DONE_MARKER)
        }
        done => done,
    }
}

fn create_probe(place: &Path) -> Result<(), DirsError> {
    fs::create_dir(place.join(PROBE_NAME)).map_err(failed("create a directory in", place))
}

fn remove_probe(place: &Path) -> Result<(), DirsError> {
    match fs::remove_dir(place.join(PROBE_NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed("remove a directory from", place)(error))
        }
        _ => Ok(()),
    }
}
