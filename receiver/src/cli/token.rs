//! `cis490-receiver token`: adds, lists and removes bearer tokens. A running receiver reads the change by itself.

use std::path::Path;
use std::time::SystemTime;

use cis490_shared::durable;
use cis490_shared::ids::HostId;
use cis490_shared::moment::Moment;
use cis490_shared::terminal::{self, CannotPrint};
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::Serialize;

use super::complete;
use super::failure::{CONFIG, Failure, NOT_DONE};
use super::table;
use crate::auth::file::{self, TokenFileError};
use crate::auth::last_use::{self, Uses};
use crate::auth::tokens::{RANDOM_BYTES, Token, TokenEntry, TokenId};
use crate::config::ReceiverConfig;

/// The commands on tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token for a host or a reader and print it once; existing tokens stay valid
    Add {
        /// The `host_id` of the lab host, or the name of a reader
        #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
        name: HostId,
    },
    /// Print the names with tokens, and when each token was made and last used
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Remove all tokens of a host or a reader, or one of them
    Remove {
        /// The name
        #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::token_names))]
        name: HostId,
        /// Remove only the token with this id, as `token list` prints it
        #[arg(long, value_name = "ID", add = ArgValueCompleter::new(complete::token_ids))]
        id: Option<TokenId>,
    },
    /// Make a new token for a name that has one and print it; the old one stays valid until it is removed
    Rotate {
        /// The name
        #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::token_names))]
        name: HostId,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The configuration names no token file.
    #[error("the configuration names no token file")]
    NoFile,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// The name has no token.
    #[error("`{0}` has no token")]
    NoToken(HostId),
    /// The name has no token with this id.
    #[error("`{0}` has no token with the id `{1}`")]
    NoSuchToken(HostId, TokenId),
    /// No token can be made.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The token could not be printed and was removed again.
    #[error("{error}; the new token of `{name}` was taken back")]
    Unseen {
        /// The owner of the token.
        name: HostId,
        /// Why it could not be printed.
        error: CannotPrint,
    },
    /// The token could not be printed and is still in the file.
    #[error("{error}, and the new token of `{name}` cannot be taken back: {file}")]
    Left {
        /// The owner of the token.
        name: HostId,
        /// Why it could not be printed.
        error: CannotPrint,
        /// Why it could not be removed.
        file: TokenFileError,
    },
}

impl TokenError {
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::NoFile => "add `tokens_file = \"/etc/cis490/tokens\"` to `[auth]`, and restart the service",
            Self::File(error) => error.remedy(),
            Self::NoToken(_) | Self::NoSuchToken(..) => {
                "`cis490-receiver token list` prints those that there are"
            }
            Self::Random(_) => return None,
            Self::Unseen { .. } => {
                "try again with a standard output that can be written; a token is shown only once"
            }
            Self::Left { .. } => "no action is needed, because nobody knows the new token",
        };
        Some(text.to_owned())
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let code = if matches!(error, TokenError::NoFile) { CONFIG } else { NOT_DONE };
        Self::new(code, &error).with_help(error.remedy())
    }
}

/// Runs the command and prints its result.
pub(super) fn run(command: &Command, config: &ReceiverConfig, now: SystemTime) -> Result<(), Failure> {
    let path = config.auth.tokens_file.as_ref().ok_or(TokenError::NoFile)?;
    match command {
        Command::Add { name } => add(path, name, now)?,
        Command::List { json } => {
            let tokens = file::list(path).map_err(TokenError::from)?;
            let used = last_use::read(&last_use::path_in(durable::parent(&config.store.index)));
            let lines = if *json { objects(tokens.entries(), &used) } else { rows(&tokens.entries(), &used) };
            // An empty list in JSON prints no line.
            if !lines.is_empty() {
                terminal::print(&lines.join("\n"))?;
            }
        }
        Command::Remove { name, id } => {
            let removed = file::remove(path, name, *id).map_err(TokenError::from)?;
            match id {
                _ if removed > 0 => {}
                Some(id) => return Err(TokenError::NoSuchToken(name.clone(), *id).into()),
                None => return Err(TokenError::NoToken(name.clone()).into()),
            }
        }
        Command::Rotate { name } => rotate(path, name, now)?,
    }
    Ok(())
}

/// Makes a token and prints it. Removes it again if it could not be printed.
fn add(path: &Path, name: &HostId, now: SystemTime) -> Result<(), TokenError> {
    let mut random = [0; RANDOM_BYTES];
    OsRng.try_fill_bytes(&mut random).map_err(|error| TokenError::Random(error.to_string()))?;
    let token = Token::of(random);
    file::add(path, name, &token, Moment::of(now))?;
    let Err(error) = terminal::print(token.expose()) else { return Ok(()) };
    Err(match file::remove(path, name, Some(token.id())) {
        Ok(_) => TokenError::Unseen { name: name.clone(), error },
        Err(file) => TokenError::Left { name: name.clone(), error, file },
    })
}

/// Adds a token and prints the commands that remove the name's old ones. Standard output holds only the token.
fn rotate(path: &Path, name: &HostId, now: SystemTime) -> Result<(), TokenError> {
    let old: Vec<TokenId> = entries_of(name, path)?.into_iter().map(|entry| entry.id).collect();
    if old.is_empty() {
        return Err(TokenError::NoToken(name.clone()));
    }
    add(path, name, now)?;
    let commands: Vec<String> =
        old.iter().map(|id| format!("cis490-receiver token remove {name} --id {id}")).collect();
    terminal::help(&format!(
        "the old token stays valid. Put the new one on the host; once `cis490-receiver token list` shows it in use: {}",
        commands.join("; ")
    ));
    Ok(())
}

fn entries_of(name: &HostId, path: &Path) -> Result<Vec<TokenEntry>, TokenError> {
    let mut entries = file::list(path)?.entries();
    entries.retain(|entry| entry.name == *name);
    Ok(entries)
}

/// Returns a line for each token.
fn rows(entries: &[TokenEntry], used: &Uses) -> Vec<String> {
    if entries.is_empty() {
        return vec!["No token is accepted.".to_owned()];
    }
    let titles = ["NAME", "ID", "MADE", "LAST USE"].map(str::to_owned);
    let text = |moment: Option<&Moment>| moment.map_or("-".to_owned(), ToString::to_string);
    let rows = entries.iter().map(|entry| {
        let TokenEntry { name, id, made } = entry;
        [name.to_string(), id.to_string(), text(made.as_ref()), text(used.get(id))]
    });
    table::lines(std::iter::once(titles).chain(rows).collect())
}

/// A token as `--json` prints it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    entry: TokenEntry,
    last_use: Option<Moment>,
}

fn objects(entries: Vec<TokenEntry>, used: &Uses) -> Vec<String> {
    let listed = entries.into_iter().map(|entry| Listed { last_use: used.get(&entry.id).copied(), entry });
    // Texts can always be serialised.
    listed.filter_map(|entry| serde_json::to_string(&entry).ok()).collect()
}
