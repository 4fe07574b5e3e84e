//! Whether episodes can be moved from place to place, tried at the start with a directory of our own.
//!
//! A place on another mount or of another user would otherwise show once the first episode was delivered.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cis490_shared::durable;

use super::layout::{Dirs, DirsError, failed};

/// What the directory is called. No name of an episode begins so.
const NAME: &str = ".probe";

impl Dirs {
    /// Moves a directory through all places; gives back the first two between which a directory is copied instead,
    /// where there is a mount between them.
    pub fn probe_moves(&self) -> Result<Option<(PathBuf, PathBuf)>, DirsError> {
        let places = [self.episodes(), self.outbox(), self.shipped(), self.quarantine_root()];
        // Left by a run that died.
        places.iter().try_for_each(|place| remove(place))?;
        create(&places[0])?;
        let mut apart = None;
        for (from, to) in places.iter().zip(places.iter().cycle().skip(1)) {
            match durable::rename_noreplace(&from.join(NAME), &to.join(NAME)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                    apart.get_or_insert_with(|| (from.clone(), to.clone()));
                    create(to)?;
                    remove(from)?;
                }
                Err(error) => {
                    remove(from)?;
                    return Err(failed("move a directory to", to)(error));
                }
            }
        }
        remove(&places[0]).map(|()| apart)
    }
}

fn create(place: &Path) -> Result<(), DirsError> {
    fs::create_dir(place.join(NAME)).map_err(failed("create a directory in", place))
}

fn remove(place: &Path) -> Result<(), DirsError> {
    match fs::remove_dir(place.join(NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed("remove a directory from", place)(error))
        }
        _ => Ok(()),
    }
}
