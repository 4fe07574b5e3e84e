//! Finds the files of a clone: a work tree, a linked work tree or a bare repository. Blocks.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cis490_shared::small_file::read_text;

/// The longest pointer file of a linked work tree, in bytes: a path and a few words.
const MAX_POINTER_BYTES: u64 = 8192;
/// The longest `info/alternates`, in bytes: the list of object stores that a clone borrows from.
const MAX_ALTERNATES_BYTES: u64 = 64 * 1024;
/// The most object stores that are followed, so that a circle or a long chain of lists ends.
const MOST_STORES: usize = 32;

/// Returns the directory of the repository's own files: `.git` of a work tree, the target of a `.git` file, or a bare
/// repository itself. Blocks.
pub fn find_git_dir(repo: &Path) -> io::Result<PathBuf> {
    let dot_git = repo.join(".git");
    match std::fs::metadata(&dot_git) {
        Ok(found) if found.is_dir() => std::path::absolute(dot_git),
        Ok(found) if found.is_file() => {
            let text = read_text(&dot_git, MAX_POINTER_BYTES)?;
            let target = text.strip_prefix("gitdir:").map(str::trim).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "its .git file names no directory")
            })?;
            std::path::absolute(repo.join(target))
        }
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "its .git is neither a directory nor a file"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A directory with HEAD and objects/ is a repository.
            std::fs::metadata(repo.join("HEAD"))?;
            std::fs::metadata(repo.join("objects"))?;
            std::path::absolute(repo)
        }
        Err(error) => Err(error),
    }
}

/// Returns every directory that git reads, without those that lie inside another one of the list. These are the clone,
/// the target of a linked work tree, and the object stores that the clone borrows from.
///
/// Skips directories of another owner than the clone's, because the caller grants the service read access to the
/// result.
pub fn directories(repo: &Path) -> Vec<PathBuf> {
    let mut found = vec![repo.to_owned()];
    let Ok(git_dir) = find_git_dir(repo) else { return found };
    let common = common_dir(&git_dir);
    let stores = common.as_ref().map(|common| object_stores(common.join("objects"))).unwrap_or_default();
    let owner = |path: &Path| std::fs::metadata(path).map(|found| found.uid()).ok();
    for path in [repo.to_owned(), git_dir].into_iter().chain(common.ok()).chain(stores) {
        let Ok(real) = path.canonicalize() else { continue };
        if owner(&real) == owner(repo) && !found.iter().any(|other| real.starts_with(other)) {
            found.push(real);
        }
    }
    found
}

/// Returns the repository's object store and those that it borrows from, directly or through another one. Clones made
/// with `git clone --shared` or `--reference` borrow (gitrepository-layout(5)).
fn object_stores(own: PathBuf) -> Vec<PathBuf> {
    let mut stores = vec![own];
    let mut at = 0;
    while let Some(store) = stores.get(at).cloned() {
        at += 1;
        let list = read_text(&store.join("info/alternates"), MAX_ALTERNATES_BYTES).unwrap_or_default();
        for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // A relative path is relative to the store that names it.
            let Ok(named) = store.join(line).canonicalize() else { continue };
            if stores.len() < MOST_STORES && !stores.contains(&named) {
                stores.push(named);
            }
        }
    }
    stores
}

/// Returns the directory that all work trees of a repository share: its objects, and most of its refs. Blocks.
pub fn common_dir(git_dir: &Path) -> io::Result<PathBuf> {
    match read_text(&git_dir.join("commondir"), MAX_POINTER_BYTES) {
        Ok(text) => Ok(git_dir.join(text.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(git_dir.to_owned()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_directory_that_is_no_repository_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find_git_dir(dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(dir.path().join(".git"), "nonsense").unwrap();
        assert_eq!(find_git_dir(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    fn git(dir: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let run = Command::new("git").args(identity).args(arguments).current_dir(dir).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {run:?}");
    }

    #[test]
    fn a_linked_work_tree_leads_to_the_clone_that_holds_its_commits() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        git(&top, &["init", "--quiet", "main"]);
        let main = top.join("main");
        assert_eq!(directories(&main), [main.as_path()]);
        git(&main, &["commit", "--quiet", "--allow-empty", "--message=one"]);
        git(&main, &["worktree", "add", "--quiet", "../linked"]);
        let linked = top.join("linked");
        let of_the_tree = main.join(".git/worktrees/linked");
        assert_eq!(directories(&linked), [linked.clone(), of_the_tree, main.join(".git")]);

        let link = top.join("link");
        std::os::unix::fs::symlink(&main, &link).unwrap();
        assert_eq!(directories(&link), [link, main]);
        assert_eq!(directories(&top.join("gone")), [top.join("gone")]);
    }

    #[test]
    fn a_clone_that_borrows_objects_leads_to_their_stores_and_on_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        git(&top, &["init", "--quiet", "main"]);
        git(&top.join("main"), &["commit", "--quiet", "--allow-empty", "--message=one"]);
        git(&top, &["clone", "--quiet", "--shared", "main", "shared"]);
        git(&top, &["clone", "--quiet", "--shared", "shared", "nested"]);
        let [main, shared, nested] = ["main", "shared", "nested"].map(|name| top.join(name));
        let objects = |clone: &Path| clone.join(".git/objects");
        assert_eq!(directories(&shared), [shared.clone(), objects(&main)]);
        let both = [nested.clone(), objects(&shared), objects(&main)];
        assert_eq!(directories(&nested), both);

        let list = objects(&nested).join("info/alternates");
        std::fs::write(&list, "# borrowed\n\n../../../shared/.git/objects\n/nowhere\n").unwrap();
        assert_eq!(directories(&nested), both);
        // First a circle of stores, then more stores than any clone has.
        std::fs::write(objects(&main).join("info/alternates"), objects(&nested).display().to_string())
            .unwrap();
        assert_eq!(directories(&nested), both);
        for number in 0..2 * MOST_STORES {
            std::fs::create_dir(top.join(number.to_string())).unwrap();
        }
        let many: Vec<String> =
            (0..2 * MOST_STORES).map(|number| top.join(number.to_string()).display().to_string()).collect();
        std::fs::write(&list, many.join("\n")).unwrap();
        assert_eq!(directories(&nested).len(), MOST_STORES);
    }

    #[test]
    fn what_another_user_owns_is_not_opened() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (clone, other) = (dir.path().join("clone"), dir.path().join("other"));
        std::fs::create_dir_all(&clone).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(clone.join(".git"), format!("gitdir: {}\n", other.display())).unwrap();
        assert_eq!(directories(&clone).len(), 2);
        std::os::unix::fs::chown(&clone, Some(65534), None).unwrap();
        assert_eq!(directories(&clone), [clone.as_path()]);
        std::fs::remove_file(clone.join(".git")).unwrap();
        std::fs::create_dir_all(clone.join(".git/objects/info")).unwrap();
        std::fs::write(clone.join(".git/objects/info/alternates"), other.display().to_string()).unwrap();
        assert_eq!(directories(&clone), [clone]);
    }
}
