//! `cis490-man-pages DIR`: writes the manual pages and shell completions of the installed programs, for packages.
//!
//! They come from the same definitions as `--help`, so they are made when a package is, and kept nowhere.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Arg, Command, value_parser};
use clap_complete::{Shell, generate_to};

fn main() -> anyhow::Result<()> {
    let dir = Arg::new("DIR").required(true).value_parser(value_parser!(PathBuf));
    let dir = dir.help("Gets man/, bash/, zsh/ and fish/");
    let flags = Command::new("cis490-man-pages").about("Writes manual pages and shell completions").arg(dir);
    let matches = flags.get_matches();
    if let Some(dir) = matches.get_one::<PathBuf>("DIR") {
        for program in programs() {
            write(program, dir)?;
        }
    }
    Ok(())
}

/// What is installed; demo and bench are for a checkout.
fn programs() -> [Command; 4] {
    [
        cis490_receiver::cli::command(),
        cis490_shipper::cli::command(),
        cis490_tools::backfill::cli::command(),
        cis490_tools::verify::cli::command(),
    ]
}

fn write(program: Command, dir: &Path) -> io::Result<()> {
    for (shell, shell_dir) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let shell_dir = dir.join(shell_dir);
        fs::create_dir_all(&shell_dir)?;
        generate_to(shell, &mut program.clone(), program.get_name(), shell_dir)?;
    }
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    // A page for each visible command too: `cis490-receiver-token-add(1)`.
    clap_mangen::generate_to(program, man)
}
