//! The maintainer's clone, made by real git without any configuration of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use cis490_shared::ids::CommitHash;

use crate::sandbox::{Sandbox, run, stdout};

/// A git repository with a work tree.
pub struct GitClone<'a> {
    sandbox: &'a Sandbox,
    path: PathBuf,
}

impl<'a> GitClone<'a> {
    /// Creates an empty repository in the directory `name` of the sandbox. Commits pushed to it update its work tree.
    pub fn init(sandbox: &'a Sandbox, name: &str) -> Self {
        let clone = Self { sandbox, path: sandbox.path().join(name) };
        run(git(sandbox).args(["init", "--quiet", "--initial-branch=main"]).arg(&clone.path));
        clone.configure("receive.denyCurrentBranch", "updateInstead");
        clone
    }

    /// Creates a repository with `commits` commits, and returns these too, oldest first.
    pub fn with_commits(sandbox: &'a Sandbox, name: &str, commits: usize) -> (Self, Vec<CommitHash>) {
        let clone = Self::init(sandbox, name);
        let commits = (1..=commits).map(|n| clone.commit(&format!("commit {n}"))).collect();
        (clone, commits)
    }

    /// Clones this repository to the directory `name` of the sandbox.
    #[must_use]
    pub fn clone_to(&self, name: &str) -> Self {
        let clone = Self { sandbox: self.sandbox, path: self.sandbox.path().join(name) };
        run(git(self.sandbox).args(["clone", "--quiet"]).arg(&self.path).arg(&clone.path));
        clone
    }

    /// Returns the top of the work tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty commit with a message.
    pub fn commit(&self, message: &str) -> CommitHash {
        run(self.git().args(["commit", "--quiet", "--allow-empty", "--message", message]));
        self.head()
    }

    /// Adds a commit with a signature that no key has made. Checking the signature starts `gpg.program`.
    pub fn commit_signed(&self, message: &str) -> CommitHash {
        let head = self.head();
        let tree = stdout(&run(self.git().args(["rev-parse", "HEAD^{tree}"])));
        let who = "A Maintainer <maintainer@lab.example> 1760000000 +0000";
        let signature = "-----BEGIN PGP SIGNATURE-----\n \n bm9uZQ==\n -----END PGP SIGNATURE-----";
        let text = format!(
            "tree {tree}\nparent {head}\nauthor {who}\ncommitter {who}\ngpgsig {signature}\n\n{message}\n"
        );
        let file = self.sandbox.free("commit", ".txt");
        std::fs::write(&file, text).expect("a file in the sandbox");
        let signed = stdout(&run(self.git().args(["hash-object", "-t", "commit", "-w"]).arg(file)));
        run(self.git().args(["update-ref", "HEAD", &signed]));
        self.head()
    }

    /// Returns the commit that is checked out.
    pub fn head(&self) -> CommitHash {
        let text = stdout(&run(self.git().args(["rev-parse", "HEAD"])));
        CommitHash::parse(&text).expect("git prints commit hashes")
    }

    /// Pushes the branch to the repository from which this one was cloned.
    pub fn push(&self) {
        run(self.git().args(["push", "--quiet", "origin", "main"]));
    }

    /// Pulls the branch from the repository from which this one was cloned.
    pub fn pull(&self) {
        run(self.git().args(["pull", "--quiet", "--ff-only", "origin", "main"]));
    }

    /// Sets a value in the repository's own configuration.
    pub fn configure(&self, key: &str, value: &str) {
        run(self.git().args(["config", key, value]));
    }

    /// Returns a command for any other call of git in this repository.
    pub fn git(&self) -> Command {
        let mut git = git(self.sandbox);
        git.arg("-C").arg(&self.path);
        git
    }
}

fn git(sandbox: &Sandbox) -> Command {
    let mut git = sandbox.command("git");
    git.envs([
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]);
    for setting in
        ["user.name=A Maintainer", "user.email=maintainer@lab.example", "commit.gpgsign=false", "gc.auto=0"]
    {
        git.args(["-c", setting]);
    }
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_pushed_from_a_second_repository_becomes_the_head() {
        let sandbox = Sandbox::new();
        let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 2);
        assert_eq!(clone.head(), commits[1]);
        let elsewhere = clone.clone_to("elsewhere");
        let pushed = elsewhere.commit("from elsewhere");
        elsewhere.push();
        assert_eq!(clone.head(), pushed);
        let newest = clone.commit("on top");
        elsewhere.pull();
        assert_eq!(elsewhere.head(), newest);
    }
}
