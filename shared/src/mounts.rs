//! Which file system a path is on: its number from statx(2), its kind and place from proc_pid_mountinfo(5).

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// The mounts that this process sees.
#[derive(Debug, Clone, Default)]
pub struct Mounts(String);

impl Mounts {
    /// Asks the kernel. Without an answer no file system has a name.
    pub fn now() -> Self {
        Self(fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Returns the kind of a mount and its place, such as `ext4 on /srv`; `None` if it is unknown.
    pub fn describe(&self, id: u64) -> Option<String> {
        self.0.lines().find_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let mut fields = head.split(' ');
            (fields.next()?.parse() == Ok(id)).then_some(())?;
            Some(format!("{} on {}", tail.split(' ').next()?, unescaped(fields.nth(3)?)))
        })
    }
}

/// Returns the path itself, or the nearest directory above it that exists: a missing directory would be made there.
pub fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or(path)
}

/// Returns the number of the mount that a path is on.
pub fn mount_of(path: &Path) -> io::Result<u64> {
    Ok(statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Undoes the kernel's escapes of blank, tab, newline and backslash.
fn unescaped(point: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(point.to_owned(), |text, (escape, meant)| text.replace(escape, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number() {
        let mounts = Mounts(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
             7 1 8:1 /x /with\\040blank rw shared:1 - xfs /dev/sdb rw\n\
             71 1 0:9 / /nas rw - nfs4 nas:/x rw\n"
                .to_owned(),
        );
        assert_eq!(mounts.describe(1).as_deref(), Some("ext4 on /"));
        assert_eq!(mounts.describe(7).as_deref(), Some("xfs on /with blank"));
        assert_eq!((mounts.describe(8), Mounts::default().describe(1)), (None, None));
    }

    #[test]
    fn every_directory_is_on_a_mount_that_has_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let on = Mounts::now().describe(mount_of(dir.path()).unwrap()).unwrap();
        assert!(on.contains(" on /"), "{on}");
        assert_eq!(nearest_existing(&dir.path().join("gone/deeper")), dir.path());
        assert_eq!(mount_of(&dir.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
