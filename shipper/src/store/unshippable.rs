//! Finished directories in `episodes/` that cannot be shipped until a person acts, with the command that helps.
//!
//! Nothing is decided here: the scan finds them, and the status names the first few.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use cis490_shared::ids::IdError;
use cis490_shared::meta::{EpisodeMeta, META_NAME};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// How many are named.
const NAMED: usize = 5;

/// Why an entry of `episodes/` is not shipped as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEpisode {
    /// Its name is no episode id.
    #[error("its name is no episode id: {0}")]
    Name(IdError),
    /// The name holds bytes that are no text.
    #[error("its name is not valid UTF-8")]
    NotText,
    /// A file, a link or something odder.
    #[error("it is not a directory")]
    NotADirectory,
    /// It is an episode, and cannot leave `episodes/` once it is delivered.
    #[error("the shipper's user may not write to it, so it cannot be moved")]
    Unmovable,
    /// Nobody can tell whether it is finished.
    #[error("it cannot be read: {0}")]
    Unreadable(ErrorKind),
}

/// What a scan found that cannot be shipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unshippable {
    /// All of them.
    pub count: u64,
    /// The first few by name.
    pub first: BTreeSet<Obstacle>,
}

/// Why one of them cannot be shipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Obstacle {
    /// The name in `episodes/`, as text.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The command to paste into a shell of this host; `None` if the name cannot be written in a shell.
    pub command: Option<String>,
}

impl Unshippable {
    /// Counts an entry of the directory `root`.
    pub(super) fn add(&mut self, root: &Path, name: &OsStr, reason: NotAnEpisode) {
        self.count += 1;
        let text = name.to_string_lossy().into_owned();
        if self.first.len() >= NAMED && self.first.last().is_some_and(|last| last.name < text) {
            return;
        }
        let command = command(root, name, reason);
        self.first.insert(Obstacle { name: text, reason: reason.to_string(), command });
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }
}

/// Whether the kernel would refuse to move this directory to another one: a move rewrites its `..`.
pub(super) fn is_immovable(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) == Err(Errno::ACCESS)
}

/// Whether an entry that is no episode, and is finished, is one that somebody wants shipped. A recorder or a move may
/// build an episode under a name with a dot, and gives it its own in the end.
pub(super) fn is_in_the_making(reason: NotAnEpisode) -> bool {
    matches!(reason, NotAnEpisode::Name(IdError::BadStart('.')))
}

fn command(root: &Path, name: &OsStr, reason: NotAnEpisode) -> Option<String> {
    let path = quoted(root.join(name).to_str()?)?;
    let all = quoted(root.to_str()?)?;
    Some(match reason {
        NotAnEpisode::Name(_) | NotAnEpisode::NotText => match EpisodeMeta::beside(&root.join(name)) {
            // The directory must have the id that the recorder wrote.
            Some(EpisodeMeta { episode_id, .. }) => {
                format!("sudo mv -nT -- {path} {}", quoted(root.join(episode_id.as_str()).to_str()?)?)
            }
            // No name that is made up here would be that of the episode.
            None => format!("sudo head -c 400 -- {path}/{META_NAME}"),
        },
        NotAnEpisode::Unmovable | NotAnEpisode::Unreadable(ErrorKind::PermissionDenied) => {
            format!("sudo chown -R --reference={all} -- {path}")
        }
        NotAnEpisode::NotADirectory | NotAnEpisode::Unreadable(_) => format!("ls -ld -- {path} {path}/*"),
    })
}

/// Quotes a text for a shell; `None` if a terminal would obey it or show something else.
fn quoted(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    let is_shown = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    is_shown.then(|| format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_named_whatever_the_order_in_which_they_are_found() {
        let mut found = Unshippable::default();
        for n in [7, 3, 9, 1, 8, 2, 6] {
            found.add(Path::new("/data/episodes"), OsStr::new(&format!("e {n}")), NotAnEpisode::NotText);
        }
        let names: Vec<&str> = found.first.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((found.count, names), (7, vec!["e 1", "e 2", "e 3", "e 6", "e 7"]));
    }

    #[test]
    fn the_command_fits_the_reason_and_is_safe_to_paste() {
        let command =
            |name: &str, reason| command(Path::new("/data/episodes"), OsStr::new(name), reason).unwrap();
        let name = |bad| NotAnEpisode::Name(IdError::BadCharacter(bad));
        assert_eq!(
            command("it's; rm", name(' ')),
            r"sudo head -c 400 -- '/data/episodes/it'\''s; rm'/meta.json"
        );
        let chown = "sudo chown -R --reference=/data/episodes -- /data/episodes/e1";
        assert_eq!(command("e1", NotAnEpisode::Unmovable), chown);
        assert_eq!(command("e1", NotAnEpisode::Unreadable(ErrorKind::PermissionDenied)), chown);
        assert!(command("e1", NotAnEpisode::NotADirectory).starts_with("ls -ld -- /data/episodes/e1 "));
        let of = |name: &str| super::command(Path::new("/d"), OsStr::new(name), NotAnEpisode::NotText);
        assert_eq!((of("e\u{1b}[2J"), of("e\n")), (None, None), "a terminal would obey it");
    }

    #[test]
    fn a_directory_is_to_get_the_name_that_its_own_meta_json_gives_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let command = |meta: &str| {
            std::fs::write(root.path().join("ep 1/meta.json"), meta).unwrap();
            let reason = NotAnEpisode::Name(IdError::BadCharacter(' '));
            command(root.path(), OsStr::new("ep 1"), reason)
                .unwrap()
                .replace(root.path().to_str().unwrap(), "/d")
        };
        std::fs::create_dir(root.path().join("ep 1")).unwrap();
        assert_eq!(command(r#"{"episode_id": "01J"}"#), "sudo mv -nT -- '/d/ep 1' /d/01J");
        for unusable in ["", r#"{"episode_id": "ep 1"}"#, r#"{"episode_id": "../x"}"#] {
            assert_eq!(command(unusable), "sudo head -c 400 -- '/d/ep 1'/meta.json");
        }
    }
}
