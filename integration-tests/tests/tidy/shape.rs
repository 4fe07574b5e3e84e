//! The rules for the shape of a source file: its length, its first line, its name, and its output.

use crate::Finding;
use crate::source;
use crate::tree::{Tree, is_test};

/// Maximum number of lines of a file, which can be read in one sitting.
const MAX_LINES: usize = 400;

/// Finds files over the limit, so that they become folders while that is still easy.
pub(crate) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| {
            Finding::new(path, format!("has {lines} lines"), format!("split it, {MAX_LINES} is the limit"))
        })
        .collect()
}

/// Finds files whose first line does not say what they are for, because a reader decides by that line.
pub(crate) fn files_say_what_they_are_for(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| {
            Finding::new(path, "does not begin with `//! `", "say what it is for and what it does not do")
        })
        .collect()
}

/// Finds files with a name that fits anything, because everything collects in them.
pub(crate) fn files_have_names(tree: &Tree) -> Vec<Finding> {
    const NAMELESS: [&str; 5] = ["utils.rs", "util.rs", "helpers.rs", "types.rs", "common.rs"];
    tree.ending(".rs")
        .filter(|(path, _)| path.rsplit('/').next().is_some_and(|name| NAMELESS.contains(&name)))
        .map(|(path, _)| Finding::new(path, "has a name that fits anything", "name it after what it holds"))
        .collect()
}

/// Returns true if a file prints for the person who started the program.
fn is_front_end(path: &str) -> bool {
    path.ends_with("/main.rs") || path.ends_with("/cli.rs") || path.contains("/bin/")
}

/// Finds libraries that print. Libraries log, and only programs that a person starts at a terminal print.
pub(crate) fn only_front_ends_print(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, code) in tree.code().filter(|(path, _)| !is_front_end(path) && !is_test(path)) {
        // Unit tests are at the end of a file.
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for print in ["println!", "print!", "eprintln!", "eprint!"] {
            for at in source::places(code, print) {
                let place = format!("{path}:{}", source::line(code, at));
                findings.push(Finding::new(
                    &place,
                    format!("calls `{print}`"),
                    "log it, or return it to the front end",
                ));
            }
        }
    }
    findings
}

/// The files in which a message may vary, each with the reason.
const MAY_VARY: &[(&str, &str)] = &[(
    "shipper/src/report/log.rs",
    "the remediation is there to be pasted, so it stands on lines of its own",
)];

/// Finds log messages that vary, because people search a log for constant text and variable data belongs in fields.
/// Front ends are exempt, because a person reads their last message.
pub(crate) fn log_messages_are_constant(tree: &Tree) -> Vec<Finding> {
    let is_excused = |path: &str| is_front_end(path) || MAY_VARY.iter().any(|(file, _)| *file == path);
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !is_test(path) && !is_excused(path)) {
        let code = source::blank(text);
        for level in ["trace", "debug", "info", "warn", "error"] {
            for (begin, end) in source::macro_arguments(&code, level) {
                if let Some(what) = log_message_fault(text, &code, begin, end) {
                    let place = format!("{path}:{}", source::line(text, begin));
                    let fix = "end the call with a constant phrase in lower case, no dot; put what varies into fields";
                    findings.push(Finding::new(&place, format!("`{level}!` {what}"), fix));
                }
            }
        }
    }
    findings
}

fn log_message_fault(text: &str, code: &str, begin: usize, end: usize) -> Option<String> {
    let mut arguments = source::split_arguments(code, begin, end);
    arguments.retain(|(from, to)| !code[*from..*to].trim().is_empty());
    let literal = arguments.iter().find(|(from, to)| code[*from..*to].trim().starts_with('"'));
    let Some(&(from, to)) = literal else { return Some("has no constant message".to_owned()) };
    let message = text[from..to].trim().trim_matches('"');
    if message.contains('{') {
        Some(format!("has a message that varies: {message}"))
    } else if message.ends_with('.') {
        Some(format!("has a message that ends in a dot: {message}"))
    } else if message.starts_with(char::is_uppercase) {
        Some(format!("has a message that begins in upper case: {message}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&Tree::made_up(&[(path, text)])).len()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(count(files_are_short, "shared/src/a.rs", &"\n".repeat(400)), 0);
        assert_eq!(count(files_are_short, "shared/src/a.rs", &"\n".repeat(401)), 1);
    }

    #[test]
    fn a_file_without_a_purpose_or_a_name_is_found() {
        assert_eq!(count(files_say_what_they_are_for, "shared/src/a.rs", "use std::fs;"), 1);
        assert_eq!(count(files_say_what_they_are_for, "shared/src/a.rs", "//! What for."), 0);
        assert_eq!(count(files_have_names, "shared/src/utils.rs", ""), 1);
    }

    #[test]
    fn a_library_that_prints_is_found_and_a_test_is_not() {
        let text = "fn a() { eprintln!(\"x\"); }\n#[cfg(test)]\nmod tests { fn b() { println!(\"x\"); } }";
        assert_eq!(count(only_front_ends_print, "shared/src/a.rs", text), 1);
        assert_eq!(count(only_front_ends_print, "tools/src/bin/a.rs", text), 0);
    }

    #[test]
    fn log_messages_that_vary_or_shout_are_found() {
        let cases = [
            ("info!(%host_id, elapsed_ms, \"episode stored\");", 0),
            ("warn!(error = %f(a, b), \"the clone (`x`) cannot be read, it is kept\");", 0),
            ("info!(%host_id, \"stored {}\", id);", 1),
            ("error!(\"Stored\");", 1),
            ("debug!(\"stored.\");", 1),
            ("warn!(%error);", 1),
            ("// info!(%error);", 0),
        ];
        for (text, found) in cases {
            assert_eq!(count(log_messages_are_constant, "shared/src/a.rs", text), found, "{text}");
        }
    }
}
