//! `cis490-receiver token`: adds, lists and removes bearer tokens. The running receiver takes the change up by itself.

use cis490_shared::ids::HostId;
use clap::Subcommand;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::auth::file::{self, TokenFileError};
use crate::auth::tokens::{RANDOM_BYTES, Token};
use crate::config::AuthConfig;

/// What is to be done with the tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token for a host or a reader and print it, once; tokens that it has already stay valid
    Add {
        /// The `host_id` of the lab host, or the name of a reader
        #[arg(value_name = "HOST")]
        name: HostId,
    },
    /// Print the names that have tokens
    List,
    /// Remove all tokens of a host or a reader
    Remove {
        /// The name
        #[arg(value_name = "HOST")]
        name: HostId,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// There is no file for them.
    #[error("the configuration names no token file: add `tokens_file = \"/etc/cis490/tokens\"` to `[auth]`")]
    NoFile,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// The name has none.
    #[error("`{0}` has no token: `cis490-receiver token list` prints the names that have")]
    NoToken(HostId),
    /// No token can be made.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Does it; what is to be printed, a line each.
pub(super) fn run(command: &Command, config: &AuthConfig) -> Result<Vec<String>, TokenError> {
    let path = config.tokens_file.as_ref().ok_or(TokenError::NoFile)?;
    match command {
        Command::Add { name } => {
            let mut random = [0; RANDOM_BYTES];
            OsRng.try_fill_bytes(&mut random).map_err(|error| TokenError::Random(error.to_string()))?;
            let token = Token::of(random);
            file::add(path, name, &token)?;
            Ok(vec![token.expose().to_owned()])
        }
        Command::List => Ok(file::list(path)?.names().into_iter().map(ToString::to_string).collect()),
        Command::Remove { name } => match file::remove(path, name)? {
            0 => Err(TokenError::NoToken(name.clone())),
            _ => Ok(Vec::new()),
        },
    }
}
