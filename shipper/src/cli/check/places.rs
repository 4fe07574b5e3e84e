//! The data directory and the four directories in it: their existence, their file systems, and whether an episode is
//! renamed or copied between them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cis490_shared::mounts::{Mounts, mount_of, nearest_existing};
use cis490_shared::service_user::Users;
use cis490_shared::terminal;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::super::{FAILURE, SUCCESS};
use crate::store::disk::Disk;

/// The state of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Writable,
    /// The user may not write to it.
    Forbidden,
    /// It is missing, and the user can make it.
    ToBeMade,
    /// It is missing, and the user may not write to the directory above it.
    CannotBeMade,
    NotADirectory,
    Unknown(io::ErrorKind),
}

impl State {
    /// Asks with the rights of the calling thread.
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => Self::NotADirectory,
            Ok(_) if may_write(path) => Self::Writable,
            Ok(_) => Self::Forbidden,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match may_write(nearest_existing(path)) {
                    true => Self::ToBeMade,
                    false => Self::CannotBeMade,
                }
            }
            Err(error) => Self::Unknown(error.kind()),
        }
    }
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    state: State,
    device: u64,
    mount: u64,
}

/// The directories.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    mounts: Mounts,
}

impl Places {
    /// Inspects `root` and the directories below it, with the rights of the service if that is possible.
    pub(super) fn of(root: &Path, users: &Users) -> io::Result<Self> {
        let below = ["episodes", "outbox", "shipped", "quarantine"].map(|name| root.join(name));
        let paths: Vec<PathBuf> = [root.to_owned()].into_iter().chain(below).collect();
        let states: Vec<State> = users.as_service(|| paths.iter().map(|path| State::of(path)).collect())?;
        let all = paths.into_iter().zip(states).map(|(path, state)| Place::at(path, state)).collect();
        Ok(Self { all, mounts: Mounts::now() })
    }

    /// Returns a line for each directory, and one for the moves between them.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.all.iter().map(|place| self.line(place)).collect();
        lines.push(match (self.apart(), self.copying()) {
            (Some((one, other)), _) => format!("moves: impossible from {one} to {other}"),
            (None, Some((one, other))) => {
                format!("moves: copies from {one} to {other}, as there is a mount between them")
            }
            (None, None) => "moves: renames, which take no time and no room".to_owned(),
        });
        lines
    }

    fn line(&self, place: &Place) -> String {
        let state = match place.state {
            State::Writable => "writable".to_owned(),
            State::Forbidden => "not writable".to_owned(),
            State::ToBeMade => "will be made".to_owned(),
            State::CannotBeMade => "cannot be made".to_owned(),
            State::NotADirectory => "not a directory".to_owned(),
            State::Unknown(kind) => format!("cannot be looked at: {kind}"),
        };
        let room = Disk::of(nearest_existing(&place.path)).map_or_else(
            |_| String::new(),
            |disk| {
                format!(
                    ", {} of {} free",
                    terminal::bytes(disk.free_bytes),
                    terminal::bytes(disk.total_bytes)
                )
            },
        );
        let mount = self.mounts.describe(place.mount);
        let on = mount.map_or_else(String::new, |mount| format!("; {mount}"));
        format!("{}: {state}{on}{room}", place.path.display())
    }

    /// Prints the problems that a start would have, and returns the exit code.
    pub(super) fn judge(&self, users: &Users) -> u8 {
        let mut code = SUCCESS;
        if let Some((one, other)) = self.apart() {
            terminal::error(
                &format!("{one} and {other} are on different file systems: the shipper does not start"),
                Some("put `paths.data_root` on one file system: `df` both"),
            );
            code = FAILURE;
        }
        for place in &self.all {
            let path = place.path.display();
            let (what, help) = match place.state {
                State::Writable | State::ToBeMade => continue,
                State::NotADirectory => (format!("`{path}` is not a directory"), "move it away"),
                State::Unknown(kind) => {
                    (format!("cannot look at `{path}`: {kind}"), "`ls -ld` it and what is above it")
                }
                State::Forbidden => {
                    (format!("`{path}` is not writable"), "the shipper's user must own it: `ls -ld` it")
                }
                State::CannotBeMade => (
                    format!("`{path}` cannot be made: the directory above it is not writable"),
                    "make it, and give it to the shipper's user: sudo install -d -o cis490 -g cis490 -m 750 it",
                ),
            };
            if place.state == State::NotADirectory || users.is_the_services() || users.can_act_as_service() {
                terminal::error(&what, Some(help));
                code = FAILURE;
            } else {
                terminal::warning(&format!("{what}; the service's user may be able to"));
            }
        }
        code
    }

    /// Returns the first two directories between which nothing can be moved.
    fn apart(&self) -> Option<(String, String)> {
        self.differing(|place| place.device)
    }

    /// Returns the first two directories between which an episode is copied.
    fn copying(&self) -> Option<(String, String)> {
        self.differing(|place| place.mount)
    }

    fn differing(&self, of: impl Fn(&Place) -> u64) -> Option<(String, String)> {
        let (first, others) = self.all.get(1..)?.split_first()?;
        let other = others.iter().find(|other| of(other) != of(first))?;
        Some((first.path.display().to_string(), other.path.display().to_string()))
    }
}

impl Place {
    fn at(path: PathBuf, state: State) -> Self {
        let there = nearest_existing(&path);
        let device = fs::metadata(there).map_or(0, |found| found.dev());
        Self { state, device, mount: mount_of(there).unwrap_or(0), path }
    }
}

fn may_write(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_from_what_will_be_made_and_what_is_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let users = Users::now(false);
        let places = || Places::of(&data, &users).unwrap();
        let states = || places().all.iter().map(|place| place.state).collect::<Vec<_>>();
        assert_eq!(states(), [State::ToBeMade; 5]);
        fs::create_dir_all(data.join("episodes")).unwrap();
        fs::write(data.join("outbox"), "").unwrap();
        let expected =
            [State::Writable, State::Writable, State::NotADirectory, State::ToBeMade, State::ToBeMade];
        assert_eq!(states(), expected);
        let told = places().lines();
        assert!(told[1].contains("episodes: writable") && told[1].contains(" free"), "{told:?}");
        assert_eq!(told[5], "moves: renames, which take no time and no room");
        assert_eq!(places().judge(&users), FAILURE);
    }

    #[test]
    fn a_mount_between_two_places_makes_moves_copies_and_another_disk_makes_them_impossible() {
        let place = |name: &str, device, mount| Place {
            path: PathBuf::from(name),
            state: State::Writable,
            device,
            mount,
        };
        let places = |device, mount| Places {
            all: vec![place("/d", 1, 1), place("/d/episodes", 1, 1), place("/d/shipped", device, mount)],
            mounts: Mounts::default(),
        };
        let moves = |device, mount| places(device, mount).lines().pop().unwrap();
        assert_eq!(moves(1, 1), "moves: renames, which take no time and no room");
        assert_eq!(
            moves(1, 7),
            "moves: copies from /d/episodes to /d/shipped, as there is a mount between them"
        );
        assert_eq!(moves(2, 7), "moves: impossible from /d/episodes to /d/shipped");
    }
}
