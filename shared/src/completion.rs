//! Shell completion of values that only the program itself knows, such as the hosts of its store.
//!
//! The packages install a script for the shell that calls the program again with the words typed so far. The program
//! answers from its configuration and its files as the user who types. It offers nothing that this user cannot read.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;

use crate::ids::HostId;

/// The environment variable in which the script names its shell. A name of our own, so that no other program's variable
/// turns a service into a completer.
pub const VARIABLE: &str = "CIS490_COMPLETE";

/// The exit code if the shell is not known.
const USAGE: u8 = 2;

/// Answers the shell, if it is a shell that runs the program, and returns the exit code. Call it before anything else
/// is printed.
pub fn answer(command: fn() -> Command) -> Option<ExitCode> {
    if !is_asked() {
        return None;
    }
    let current_dir = env::current_dir().ok();
    let answered = CompleteEnv::with_factory(command).var(VARIABLE);
    match answered.try_complete(env::args_os(), current_dir.as_deref()) {
        // An empty value turns completion off.
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => {
            // If standard error is closed too, only the exit code can report the failure.
            let _ = error.print();
            Some(ExitCode::from(USAGE))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no other module needs this variable")]
fn is_asked() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Returns a program as its user sees it, without hidden flags. A shell would offer a hidden flag if nothing else fits, and
/// a manual page would list it.
pub fn without_hidden(name: &'static str, version: &'static str, all: &Command) -> Command {
    Command::new(name)
        .version(version)
        .about(all.get_about().cloned().unwrap_or_default())
        .args(all.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(all.get_subcommands().cloned())
}

/// Returns the value of a flag, such as `--config`, among the words typed so far.
pub fn typed(flag: &str) -> Option<OsString> {
    let words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    value_of(flag, &words).map(OsString::from)
}

/// Returns the last value of a flag among arguments that are not parsed.
pub(crate) fn value_of<'a>(flag: &str, arguments: &'a [OsString]) -> Option<&'a str> {
    let texts = || arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    let values = texts().zip(texts().skip(1).chain([""])).filter_map(|(argument, next)| {
        if argument == flag { Some(next) } else { argument.strip_prefix(flag)?.strip_prefix('=') }
    });
    values.last()
}

/// Returns the values that begin with `current`.
pub fn beginning(current: &OsStr, values: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    values.into_iter().filter(|value| value.starts_with(&*current)).map(CompletionCandidate::new).collect()
}

/// Returns the hosts that have a directory in a store. A directory that cannot be read has none. Blocks.
pub fn hosts_in(episodes_root: &Path) -> Vec<String> {
    let entries = fs::read_dir(episodes_root).into_iter().flatten().flatten();
    let mut hosts: Vec<String> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.parse::<HostId>().is_ok())
        .collect();
    hosts.sort_unstable();
    hosts
}
