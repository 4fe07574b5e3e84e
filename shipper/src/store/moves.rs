//! Every move between the places, made so that no loss of power takes both names of an episode.
//!
//! All of a call are renamed, then the places that they went to are synced, then the one that they left. Until then
//! none counts as moved. A sync of the one that they left makes every departure from it last, also those of an earlier
//! call whose arrival may not: so whatever is in doubt is settled before the next one moves. Moves go one way at a
//! time, whichever process makes them: the shipper, or a person's `quarantine release` beside it.

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

/// Held by whoever moves.
const LOCK_NAME: &str = ".moves.lock";
/// How long another process may move before this one gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// There while episodes return: a run that finds it knows which way the last one moved. It need not outlive a loss
/// of power, after which nothing is in doubt.
const RETURNING_NAME: &str = ".returning";
const REASON_MODE: u32 = 0o640;
const LOCK_MODE: u32 = 0o640;
/// How many episodes of one id are kept aside before a person has to look.
const MAX_COPIES: u32 = 1000;
/// What the directory is called with which moves are tried. No name of an episode begins so.
const PROBE_NAME: &str = ".probe";

/// An episode that leaves `episodes/`.
#[derive(Debug, Clone)]
pub struct MoveOut {
    /// The episode.
    pub id: EpisodeId,
    /// Why it was refused; none where the receiver has it.
    pub refused: Option<Reason>,
}

impl Dirs {
    /// Puts episodes away, then removes their archives: what was refused, with the reason in it, to `quarantine/`,
    /// everything else to `shipped/`. What became of each, in their order.
    pub fn put_away(&self, leaving: &[MoveOut]) -> Vec<Result<(), DirsError>> {
        // Whoever panicked while he held it left it as it was: in doubt.
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
        // A rename that failed may have happened all the same.
        *in_doubt = synced.is_err() || renamed.len() < leaving.len();
        for (leaving, done) in leaving.iter().zip(&mut done).filter(|(_, done)| done.is_ok()) {
            *done = match &synced {
                Ok(()) => self.remove_archive(&leaving.id),
                Err(error) => Err(error.again()),
            };
        }
        done
    }

    /// Lets episodes return from `quarantine/` to `episodes/`, where no episode of that id may be. What became of each,
    /// in their order. The note of their refusal stays in them; no archive holds it.
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
        // A rename that failed may have happened, so all of them are taken for moved here.
        match self.sync_returns().and_then(|()| remove_file(&marker)) {
            Ok(()) => done,
            Err(error) => done.into_iter().map(|done| done.and_then(|()| Err(error.again()))).collect(),
        }
    }

    /// Creates what moves need, durably.
    pub(super) fn prepare_moves(&self) -> Result<(), DirsError> {
        let path = self.root.join(LOCK_NAME);
        durable::create_file(&path, LOCK_MODE).map_err(failed("create", &path))
    }

    /// Keeps every other process from moving, and settles what is in doubt.
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

    /// Renames an episode to a name below `to`, one of its own where an episode of that id is there already: what was
    /// kept once is never replaced.
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

    /// Makes it last where episodes went, and only then that they left.
    fn sync_moves(&self, renamed: &[&MoveOut]) -> Result<(), DirsError> {
        let places: BTreeSet<PathBuf> = renamed.iter().map(|leaving| self.place(leaving)).collect();
        for path in places {
            Step::SyncMovedTo.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))?;
        }
        let path = self.episodes();
        Step::SyncMovedFrom.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))
    }

    /// The same for episodes that returned.
    fn sync_returns(&self) -> Result<(), DirsError> {
        let sync = |path: PathBuf| {
            Step::SyncReturned.take(|| durable::sync_dir(&path)).map_err(failed("sync", &path))
        };
        sync(self.episodes())?;
        sync(self.quarantine_root())
    }

    /// Tries at the start whether episodes can be moved: moves a directory of our own through all places. A place on another
    /// mount or of another user would otherwise show once the first episode was delivered. Gives back the first two between which a directory is copied instead,
    /// where there is a mount between them.
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

/// Moves an episode to a name that is free. Where a directory cannot be renamed, it is carried there.
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
