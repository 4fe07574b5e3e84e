//! The rules for files that are installed with the programs: the commands of units exist, and the programs accept the
//! examples.

use std::process::Command;

use integration_tests::binaries;
use integration_tests::sandbox::Sandbox;

use crate::Finding;
use crate::tree::Tree;

/// Finds units whose command has a flag that the program lacks, because those would only fail on the collector.
pub(crate) fn units_use_what_the_programs_take(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("systemd/") {
        for command in our_commands(text) {
            let mut words = command.split_whitespace();
            let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let help = help_of(program);
            for flag in words.filter_map(|word| word.split('=').next()).filter(|word| word.starts_with("--"))
            {
                if !names_flag(&help, flag) {
                    let fix = format!("see `{program} --help`");
                    findings.push(Finding::new(path, format!("calls `{program}` with `{flag}`"), fix));
                }
            }
        }
    }
    findings
}

/// Returns the commands of a unit that start one of our programs, with continued lines joined.
fn our_commands(unit: &str) -> Vec<String> {
    let joined = unit.replace("\\\n", " ");
    let commands = joined
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Exec")?.split_once('=').map(|(_, rest)| rest));
    // Characters before the path change how the program is run, not which one (systemd.service(5)).
    let commands =
        commands.map(|command| command.trim_start_matches(['@', '-', ':', '+', '!']).trim().to_owned());
    commands
        .filter(|command| command.split_whitespace().next().is_some_and(|path| path.contains("cis490-")))
        .collect()
}

/// Returns true if `--help` lists the flag as a whole word.
fn names_flag(help: &str, flag: &str) -> bool {
    help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == flag)
}

fn help_of(program: &str) -> String {
    let output = Command::new(binaries::path(program)).arg("--help").output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The example configurations, each with the program that reads it.
const EXAMPLES: &[(&str, &str)] =
    &[("etc/receiver.toml", "cis490-receiver"), ("etc/lab-host.toml", "cis490-shipper")];

/// The word that a person must replace before a program accepts an example (incident 9).
const PLACEHOLDER: &str = "REPLACE_ME";

/// Finds examples that the program refuses, because people copy them.
pub(crate) fn examples_are_taken(tree: &Tree) -> Vec<Finding> {
    let sandbox = Sandbox::new();
    let mut findings = Vec::new();
    for (path, program) in EXAMPLES {
        let Some(text) = tree.get(path) else {
            findings.push(Finding::new(path, "is missing", format!("write an example for `{program}`")));
            continue;
        };
        if let Err(told) = check_config(&sandbox, program, &text.replace(PLACEHOLDER, "lab-1")) {
            let fix = format!("make it what `{program} --check-config` takes");
            findings.push(Finding::new(path, format!("is refused by `{program}`: {told}"), fix));
        }
        if text.contains(PLACEHOLDER) && check_config(&sandbox, program, text).is_ok() {
            let fix = format!("let `{program}` refuse the placeholder");
            findings.push(Finding::new(path, "is taken although nobody has edited it", fix));
        }
    }
    findings
}

fn check_config(sandbox: &Sandbox, program: &str, text: &str) -> Result<(), String> {
    let path = sandbox.free("example", ".toml");
    std::fs::write(&path, text).expect("a file in the sandbox");
    let mut command = sandbox.command(binaries::path(program));
    let output = command.args(["--check-config", "--config"]).arg(&path).output().expect("the program runs");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_unit_are_read_as_systemd_reads_them() {
        let unit = "[Service]\nExecStart=-/usr/bin/cis490-receiver \\\n  --config /etc/x.toml\nExecStop=/bin/kill $MAINPID\n";
        let [command] = our_commands(unit).try_into().unwrap();
        assert_eq!(
            command.split_whitespace().collect::<Vec<_>>(),
            ["/usr/bin/cis490-receiver", "--config", "/etc/x.toml"]
        );
    }

    #[test]
    fn a_flag_is_found_only_whole() {
        assert!(names_flag("  --config <FILE>  [default: x]", "--config"));
        assert!(!names_flag("  --check-config", "--config"));
    }
}
