//! Moves a directory where no rename can: to another mount, or out of the lower layer of an overlay.
//!
//! The directory is copied under a temporary name, synced, compared and published, and only then is the original
//! deleted. So the original is complete until the copy is durable under its name, and a repeated call finds the
//! existing copy. The copy has the content, names and modes of the original, but not its times and owners.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, mkdirat, mknodat, openat, readlinkat, statat,
    symlinkat,
};

use super::{parent, rename_noreplace, sync_data, sync_dir, sync_open_dir};
use crate::regular::{open, open_dir};
use crate::step::Step;

/// Temporary name of a copy. No name of an episode begins with a dot, and callers move one directory at a time.
const NAME: &str = ".carried";

/// Number of bytes copied or compared at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// Moves a directory to a free name on another mount. On return the new name is durable, but the removal of the
/// original is not. Returns `AlreadyExists` if the name is taken, unless by a complete copy.
///
/// `marker` is the file without which the directory does not count as complete. It is deleted before all other files.
pub fn carry_noreplace(from: &Path, to: &Path, marker: &str) -> io::Result<()> {
    let original = open_dir(CWD, from)?;
    match open_dir(CWD, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => publish_copy(&original, to)?,
        // An earlier call has published the copy.
        Ok(there) if holds_all_of(&there, &original)? => sync_tree(&there)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Err(error) => return Err(error),
    }
    Step::SyncMovedTo.take(|| sync_dir(parent(to)))?;
    match fs::remove_file(from.join(marker)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Step::SyncUnmarked.take(|| sync_dir(from))?;
    fs::remove_dir_all(from)
}

/// Deletes the partial copy that a call that died has left in `place`.
pub fn sweep_carried(place: &Path) -> io::Result<()> {
    match fs::remove_dir_all(place.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn publish_copy(original: &OwnedFd, to: &Path) -> io::Result<()> {
    let place = parent(to);
    sweep_carried(place)?;
    let temp = place.join(NAME);
    fs::create_dir(&temp)?;
    let copy = open_dir(CWD, &temp)?;
    copy_tree(original, &copy)?;
    sync_tree(&copy)?;
    if !holds_all_of(&copy, original)? {
        return Err(io::Error::other(
            "its copy differs from the original, does its recorder still write to it?",
        ));
    }
    rename_noreplace(&temp, to)
}

/// Returns the entries of a directory, in the order of their names.
fn entries(dir: &OwnedFd) -> io::Result<Vec<(PathBuf, rustix::fs::Stat)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = PathBuf::from(OsString::from_vec(entry?.file_name().to_bytes().to_vec()));
        if name != Path::new(".") && name != Path::new("..") {
            let found = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            entries.push((name, found));
        }
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

fn copy_tree(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    for (name, found) in entries(from)? {
        let mode = Mode::from_raw_mode(found.st_mode);
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let copy = File::from(openat(to, &name, flags, Mode::RUSR | Mode::WUSR)?);
                // The copy stops at the listed length, because a file that keeps growing would never end.
                let length = u64::try_from(found.st_size).unwrap_or(u64::MAX);
                copy_file(open(from, &name)?.take(length), &copy)?;
                fchmod(&copy, mode)?;
            }
            FileType::Directory => {
                mkdirat(to, &name, Mode::RWXU)?;
                let copy = open_dir(to, &name)?;
                copy_tree(&open_dir(from, &name)?, &copy)?;
                fchmod(&copy, mode)?;
            }
            FileType::Symlink => symlinkat(readlinkat(from, &name, Vec::new())?, to, &name)?,
            // An episode that is refused for a special file must keep it.
            other => mknodat(to, &name, other, mode, found.st_rdev)?,
        }
    }
    Ok(())
}

/// Copies the chunks that are not all zeros and leaves holes for the rest, because a sparse original may be larger than
/// the disk.
fn copy_file(mut from: impl Read, to: &File) -> io::Result<()> {
    let (mut chunk, mut at) = (Vec::new(), 0);
    while from.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? > 0 {
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(&chunk, at)?;
        }
        at += chunk.len() as u64;
        chunk.clear();
    }
    to.set_len(at)
}

/// Returns true if `copy` holds everything in `original`, byte for byte.
fn holds_all_of(copy: &OwnedFd, original: &OwnedFd) -> io::Result<bool> {
    for (name, found) in entries(original)? {
        let kind = FileType::from_raw_mode(found.st_mode);
        match statat(copy, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) == kind => {}
            Ok(_) | Err(rustix::io::Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let is_same = match kind {
            FileType::RegularFile => is_same_file(&open(copy, &name)?, &open(original, &name)?)?,
            FileType::Directory => holds_all_of(&open_dir(copy, &name)?, &open_dir(original, &name)?)?,
            FileType::Symlink => {
                readlinkat(copy, &name, Vec::new())? == readlinkat(original, &name, Vec::new())?
            }
            _ => true,
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_same_file(one: &File, other: &File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        for (file, chunk) in [(one, &mut ours), (other, &mut theirs)] {
            chunk.clear();
            file.take(CHUNK_BYTES as u64).read_to_end(chunk)?;
        }
        if ours != theirs || ours.is_empty() {
            return Ok(ours == theirs);
        }
    }
}

/// Makes a directory and its content durable, but not its own name.
fn sync_tree(dir: &OwnedFd) -> io::Result<()> {
    if !Step::SyncCopy.is_taken() {
        return Ok(());
    }
    for (name, found) in entries(dir)? {
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => sync_data(&open(dir, &name)?)?,
            FileType::Directory => sync_tree(&open_dir(dir, &name)?)?,
            _ => {}
        }
    }
    sync_open_dir(&File::from(dir.as_fd().try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// Creates a directory `from` with a marker, and a place to move it to.
    fn recorded() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("place/to"));
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::create_dir(root.path().join("place")).unwrap();
        fs::write(from.join("done"), "").unwrap();
        fs::write(from.join("deep/er/file"), vec![7; 300_000]).unwrap();
        fs::set_permissions(from.join("deep/er/file"), fs::Permissions::from_mode(0o440)).unwrap();
        fs::set_permissions(from.join("deep"), fs::Permissions::from_mode(0o550)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        mknodat(CWD, from.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        (root, from, to)
    }

    fn is_all_there(to: &Path) -> bool {
        fs::read(to.join("deep/er/file")).unwrap() == vec![7; 300_000]
            && fs::metadata(to.join("deep/er/file")).unwrap().permissions().mode() & 0o777 == 0o440
            && fs::metadata(to.join("deep")).unwrap().permissions().mode() & 0o777 == 0o550
            && fs::read_link(to.join("link")).unwrap() == Path::new("/nowhere")
            && fs::symlink_metadata(to.join("fifo")).is_ok()
    }

    #[test]
    fn what_is_carried_is_all_there_and_gone_from_where_it_was() {
        let (root, from, to) = recorded();
        fs::create_dir(root.path().join("place/.carried")).unwrap();
        fs::write(root.path().join("place/.carried/torn"), "of an earlier try").unwrap();
        carry_noreplace(&from, &to, "done").unwrap();
        assert!(is_all_there(&to) && to.join("done").try_exists().unwrap());
        assert!(!to.join("torn").try_exists().unwrap() && !from.try_exists().unwrap());
        assert_eq!(fs::read_dir(root.path().join("place")).unwrap().count(), 1);
    }

    #[test]
    fn a_copy_has_the_holes_of_the_original_and_all_else() {
        let (_root, from, to) = recorded();
        let image = File::create(from.join("disk.img")).unwrap();
        image.set_len(64 << 20).unwrap();
        image.write_all_at(b"data", (32 << 20) - 2).unwrap();
        let content = fs::read(from.join("disk.img")).unwrap();
        carry_noreplace(&from, &to, "done").unwrap();
        assert!(fs::read(to.join("disk.img")).unwrap() == content);
        let blocks = fs::metadata(to.join("disk.img")).unwrap().blocks();
        assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
    }

    #[test]
    fn an_earlier_try_is_ended_wherever_it_was_and_nothing_else_is_replaced() {
        type Spoil = fn(&Path);
        let (root, from, to) = recorded();
        publish_copy(&open_dir(CWD, &from).unwrap(), &to).unwrap();
        // The original is deleted in part.
        fs::remove_file(from.join("done")).unwrap();
        fs::remove_file(from.join("link")).unwrap();
        carry_noreplace(&from, &to, "done").unwrap();
        assert!(is_all_there(&to) && !from.try_exists().unwrap());

        let others: [Spoil; 4] = [
            |from| fs::write(from.join("late"), "").unwrap(),
            |from| fs::write(from.join("deep/er/file"), vec![8; 300_000]).unwrap(),
            |from| fs::write(from.join("link"), "no link").unwrap(),
            |from| symlink("/elsewhere", from.join("link")).unwrap(),
        ];
        for spoil in others {
            fs::create_dir_all(from.join("deep/er")).unwrap();
            spoil(&from);
            let error = carry_noreplace(&from, &to, "done").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(is_all_there(&to) && from.try_exists().unwrap());
            fs::remove_dir_all(&from).unwrap();
        }
        fs::create_dir(root.path().join("place/.carried")).unwrap();
        sweep_carried(&root.path().join("place")).unwrap();
        assert_eq!(fs::read_dir(root.path().join("place")).unwrap().count(), 1);
    }

    #[test]
    fn a_copy_that_is_not_what_it_was_made_of_gets_no_name() {
        use std::io::Write;
        use std::sync::atomic::{AtomicBool, Ordering};

        let (_root, from, to) = recorded();
        let (begun, stop) = (std::sync::Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut growing = File::create(from.join("growing")).unwrap();
                begun.wait();
                while !stop.load(Ordering::Relaxed) {
                    growing.write_all(b"line").unwrap();
                }
            });
            begun.wait();
            let carried = carry_noreplace(&from, &to, "done");
            stop.store(true, Ordering::Relaxed);
            let error = carried.unwrap_err();
            assert!(error.to_string().contains("its copy differs from the original"), "{error}");
        });
        assert!(is_all_there(&from) && from.join("done").try_exists().unwrap() && !to.try_exists().unwrap());
        carry_noreplace(&from, &to, "done").unwrap();
        assert!(is_all_there(&to) && to.join("growing").try_exists().unwrap());
    }
}
