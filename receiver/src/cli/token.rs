//! `cis490-receiver token`: adds, lists and removes bearer tokens. The running receiver takes the change up by itself.

use std::process::ExitCode;

use cis490_shared::ids::HostId;
use clap::Subcommand;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tracing::error;

use super::EXIT_CONFIG;
use crate::auth::file;
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

/// Runs it. Tokens and names go to standard output, and nothing else does.
#[expect(clippy::print_stdout, reason = "this is what was asked for")]
pub(super) fn run(command: &Command, config: &AuthConfig) -> ExitCode {
    let Some(path) = &config.tokens_file else {
        error!(
            help = "add `tokens_file = \"/etc/cis490/tokens\"` to `[auth]`",
            "the configuration names no token file"
        );
        return ExitCode::from(EXIT_CONFIG);
    };
    let outcome = match command {
        Command::Add { name } => {
            let mut random = [0; RANDOM_BYTES];
            if let Err(error) = OsRng.try_fill_bytes(&mut random) {
                error!(%error, "the system gives no random bytes");
                return ExitCode::FAILURE;
            }
            let token = Token::of(random);
            file::add(path, name, &token).map(|()| println!("{}", token.expose()))
        }
        Command::List => file::list(path).map(|tokens| tokens.names().for_each(|name| println!("{name}"))),
        Command::Remove { name } => match file::remove(path, name) {
            Ok(0) => {
                error!(%name, help = "`cis490-receiver token list` prints those that there are", "there is no token of this name");
                return ExitCode::FAILURE;
            }
            other => other.map(drop),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}
