//! Reading the maintainer's clone for a command, as the service reads it.

use std::time::Duration;

use crate::config::GateConfig;
use crate::gate::rev_list::{PollError, RevList};
use crate::gate::window::Window;
use crate::io_thread::IoThread;

/// How long files that git does not read may take, beyond the time of git.
const LOOK: Duration = Duration::from_secs(5);

/// Reads the window. Blocks.
pub(super) fn read(config: &GateConfig) -> Result<Window, PollError> {
    let list = RevList::new(config, IoThread::start("git-poll"));
    let limit = list.patience() + LOOK;
    let no_git = |source| PollError::NoGit { git: "git".into(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_git)?;
    let read = runtime.block_on(async { tokio::time::timeout(limit, list.read(None)).await });
    read.unwrap_or_else(|_| Err(PollError::Hangs { repo: list.repo.clone(), limit }))
}
