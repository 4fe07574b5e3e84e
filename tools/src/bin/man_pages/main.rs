//! `cis490-man-pages DIR`: writes the manual pages and shell completions of the installed programs, for packages.
//!
//! The pages come from the definitions of `--help`, and for the configurations from the examples in etc/. So they are
//! made with each package and never checked in. [`sections`] adds the facts that `--help` lacks.

mod commented;
mod roff;
mod sections;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cis490_shared::completion::VARIABLE;
use cis490_shared::durable;
use clap::{Arg, Command, value_parser};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use self::commented::Example;

const RECEIVER_TOML: &str = include_str!("../../../../etc/receiver.toml");
const LAB_HOST_TOML: &str = include_str!("../../../../etc/lab-host.toml");

fn main() -> anyhow::Result<()> {
    let dir = Arg::new("DIR").required(true).value_parser(value_parser!(PathBuf));
    let dir = dir.help("Gets man/, bash/, zsh/ and fish/");
    let flags = Command::new("cis490-man-pages").about("Writes manual pages and shell completions").arg(dir);
    let matches = flags.get_matches();
    if let Some(dir) = matches.get_one::<PathBuf>("DIR") {
        for program in programs() {
            write(&program, dir)?;
        }
        for sections in sections::ALL {
            let page = dir.join("man").join(sections.program).with_extension("1");
            let text = fs::read_to_string(&page)?;
            // The version comes last.
            let (above, below) = text.split_once(".SH VERSION\n").context("the page has no version")?;
            fs::write(&page, format!("{above}{}.SH VERSION\n{below}", sections.text()))?;
        }
        let man = dir.join("man");
        let page = |text, file, program, see_also| Example::read(text).page(file, program, see_also);
        let receiver = page(RECEIVER_TOML, "receiver.toml", "cis490-receiver", &["cis490\\-receiver(1)"]);
        fs::write(man.join("receiver.toml.5"), receiver)?;
        let shipper = page(LAB_HOST_TOML, "lab-host.toml", "cis490-shipper", &["cis490\\-shipper(1)"]);
        fs::write(man.join("lab-host.toml.5"), shipper)?;
    }
    Ok(())
}

/// Returns the installed programs; demo and bench are for a checkout.
fn programs() -> [Command; 4] {
    [
        cis490_receiver::cli::command(),
        cis490_shipper::cli::command(),
        cis490_tools::backfill::cli::command(),
        cis490_tools::verify::cli::command(),
    ]
}

fn write(program: &Command, dir: &Path) -> io::Result<()> {
    let name = program.get_name();
    let shells: [(&dyn EnvCompleter, String); 3] = [
        (&Bash, format!("bash/{name}.bash")),
        (&Zsh, format!("zsh/_{name}")),
        (&Fish, format!("fish/{name}.fish")),
    ];
    for (shell, path) in shells {
        let path = dir.join(path);
        fs::create_dir_all(durable::parent(&path))?;
        shell.write_registration(VARIABLE, name, name, name, &mut File::create(path)?)?;
    }
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    // A page for each visible command too: `cis490-receiver-token-add(1)`.
    clap_mangen::generate_to(program.clone(), &man)?;
    with_footers(&man, program.get_name())
}

/// Rewrites the first line, because clap_mangen leaves out the date and the version would be shown in its place.
fn with_footers(man: &Path, program: &str) -> io::Result<()> {
    for entry in fs::read_dir(man)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(program) {
            let text = fs::read_to_string(&path)?;
            let head = format!(".TH {name} 1 \"\" \"{program} {}\"", env!("CARGO_PKG_VERSION"));
            let lines = text.lines().map(|line| if line.starts_with(".TH ") { head.as_str() } else { line });
            fs::write(&path, lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
        }
    }
    Ok(())
}
