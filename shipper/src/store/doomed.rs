//! How a directory with an episode is deleted: under another name first, so that a crash leaves no half an episode.
//!
//! It decides nothing: [`crate::store::quarantine`] and [`crate::store::shipped`] say what goes. All of it blocks.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cis490_shared::durable;

/// What a directory is called while it is deleted. No name of an episode begins so.
const PREFIX: &str = ".pruned-";
/// In this unit `st_blocks` counts, whatever the file system has.
const BLOCK_BYTES: u64 = 512;

/// What a deletion gives back, as far as the files tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

impl Freed {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

/// Whether a name is that of a deletion which was cut short.
pub fn is_doomed(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Deletes the directory of that name in `root`; one that is doomed already is deleted to its end.
pub fn delete(root: &Path, name: &str) -> io::Result<Freed> {
    let path = root.join(name);
    if is_doomed(name) {
        return delete_to_its_end(&path);
    }
    let doomed = root.join(format!("{PREFIX}{name}"));
    durable::rename_noreplace(&path, &doomed)?;
    delete_to_its_end(&doomed)
}

fn delete_to_its_end(doomed: &Path) -> io::Result<Freed> {
    let freed = size_of_tree(doomed)?;
    fs::remove_dir_all(doomed)?;
    Ok(freed)
}

/// What a directory takes on the disk. A file with a second name elsewhere gives nothing back.
fn size_of_tree(dir: &Path) -> io::Result<Freed> {
    let mut freed = size_of(&fs::symlink_metadata(dir)?);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        freed = freed.and(match data.is_dir() {
            true => size_of_tree(&entry.path())?,
            false if data.nlink() > 1 => Freed::default(),
            false => size_of(&data),
        });
    }
    Ok(freed)
}

fn size_of(data: &fs::Metadata) -> Freed {
    Freed { bytes: data.blocks() * BLOCK_BYTES, inodes: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_counted_and_a_second_name_of_a_file_gives_nothing_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("e1/sub");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("network.pcap"), vec![7; 100_000]).unwrap();
        fs::write(root.path().join("kept"), vec![7; 100_000]).unwrap();
        fs::hard_link(root.path().join("kept"), dir.join("linked")).unwrap();
        let freed = delete(root.path(), "e1").unwrap();
        assert!((100_000..150_000).contains(&freed.bytes), "{freed:?}");
        assert_eq!(freed.inodes, 3);
        let left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }

    #[test]
    fn an_episode_goes_under_its_other_name_and_a_deletion_that_was_cut_short_is_ended() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".pruned-e1/sub")).unwrap();
        fs::create_dir(root.path().join("e1")).unwrap();
        // Its other name is taken: the whole episode stays as it is.
        assert_eq!(delete(root.path(), "e1").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(is_doomed(".pruned-e1") && !is_doomed("e1"));
        delete(root.path(), ".pruned-e1").unwrap();
        delete(root.path(), "e1").unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
