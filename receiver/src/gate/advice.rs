//! The next step for a person when the clone cannot be read, with commands that see what the service sees.
//!
//! The maintainer's own git often works where the service fails, because user, mounts and environment differ. So the
//! commands run in the mounts of this process, as its user and without an environment.

use super::rev_list::{PollError, RevList};

/// Returns the next step after a failed poll.
pub fn remedy(error: &PollError, list: &RevList) -> String {
    let clone = quoted(&list.repo.display().to_string());
    let reference = quoted(&list.reference);
    let rev_list =
        as_service(&format!("git -c safe.directory='*' -C {clone} rev-list --max-count=3 {reference} --"));
    match error {
        PollError::NoRepository { .. } => format!(
            "check version_gate.repo_path in receiver.toml: `{}` shows what the service sees there; after a change of it, or of a mount: `sudo systemctl daemon-reload && sudo systemctl restart cis490-receiver`",
            as_service(&format!("ls -lna {clone}"))
        ),
        PollError::NoPermission { .. } => format!(
            "restart the service, because its unit grants access to the clone; `{}` lists the files that are still \
             unreadable. Ownership does not matter",
            as_service(&format!("find {clone} ! -readable -prune"))
        ),
        PollError::NoGit { .. } => "install git".to_owned(),
        PollError::Hangs { .. } => format!(
            "the file system of the clone does not answer: `findmnt --target {clone}`, `sudo dmesg | tail`; polling goes on by itself once it does"
        ),
        PollError::Gone(_) => {
            "the receiver ends and is started again: see the lines before this one".to_owned()
        }
        PollError::Hung(_) => format!(
            "look for a git that hangs: `ps -o pid,etime,wchan:20,args -C git`; see whether it still hangs: \
             `{rev_list}`"
        ),
        PollError::Failed(_) | PollError::Unreadable(_) => {
            format!("`{rev_list}` shows what the service sees; check version_gate.ref in receiver.toml")
        }
        PollError::Shallow { .. } => format!(
            "as the maintainer: `git -C {clone} fetch --unshallow`, and look for a job that fetches with --depth"
        ),
    }
}

/// Returns a command that root can paste: it runs `command` as the user of this process and with its mounts.
fn as_service(command: &str) -> String {
    let (pid, uid, gid) =
        (std::process::id(), rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // git needs a HOME, and the service cannot read root's own.
    format!(
        "sudo nsenter --target {pid} --mount --setuid {uid} --setgid {gid} env -i HOME=/nonexistent {command}"
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
