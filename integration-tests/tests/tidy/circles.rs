//! The rule that files never import each other in a circle, so that a reader can understand each file after the ones
//! below it.
//!
//! A file and the files in the folder of its name are parts of one module, and may name each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::source;
use crate::tree::Tree;

/// A module of a crate: its path from the top of the crate.
type Module = Vec<String>;

/// Finds files that name each other in a circle, crate by crate.
pub(crate) fn files_form_no_circle(tree: &Tree) -> Vec<Finding> {
    let crates: BTreeSet<String> = tree
        .ending("Cargo.toml")
        .filter_map(|(path, _)| path.strip_suffix("Cargo.toml").map(|folder| format!("{folder}src/")))
        .collect();
    crates.iter().flat_map(|folder| circles_of(tree, folder)).collect()
}

fn circles_of(tree: &Tree, folder: &str) -> Vec<Finding> {
    let files: BTreeMap<Module, (&str, String)> = tree
        .code()
        .filter_map(|(path, code)| {
            let module = module_of(path.strip_prefix(folder)?)?;
            // A name that only tests use does not tie files together.
            let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
            Some((module, (path, code[..end].to_owned())))
        })
        .collect();
    let named: BTreeMap<&Module, BTreeSet<&Module>> =
        files.iter().map(|(module, (_, code))| (module, named_by(module, code, &files))).collect();
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for start in files.keys() {
        if told.contains(start) {
            continue;
        }
        if let Some(circle) = way_back(start, &named) {
            told.extend(circle.iter().copied());
            let paths: Vec<_> = circle.iter().map(|module| files[*module].0).collect();
            let what = format!("is in a circle: {}", paths.join(" -> "));
            let fix = "move what both need to a file below them";
            findings.push(Finding::new(paths[0], what, fix));
        }
    }
    findings
}

/// Returns the module of a file; `None` for tests and programs.
fn module_of(inner: &str) -> Option<Module> {
    let names: Module = inner.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    let names = match names.last().map(String::as_str) {
        Some("mod") => names[..names.len() - 1].to_vec(),
        Some("main" | "lib") if names.len() == 1 => Vec::new(),
        Some("tests") => return None,
        _ => names,
    };
    (names.first().is_none_or(|first| first != "bin")).then_some(names)
}

/// Returns the other files whose modules this code names, except the parts of the same module.
fn named_by<'a, T>(own: &Module, code: &str, files: &'a BTreeMap<Module, T>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    for (prefix, base) in [("crate::", Some(Vec::new())), ("super::", None)] {
        for at in source::places(code, prefix) {
            if code[..at].ends_with("super::") {
                continue;
            }
            let ups = code[at..].split("::").take_while(|part| *part == "super").count();
            let base = base.clone().unwrap_or_else(|| own[..own.len().saturating_sub(ups)].to_vec());
            let rest = &code[at + prefix.len() * ups.max(1)..];
            for path in paths(rest) {
                let whole: Module = base.iter().cloned().chain(path).collect();
                let known = (0..=whole.len()).rev().find_map(|length| files.get_key_value(&whole[..length]));
                found.extend(known.map(|(module, _)| module));
            }
        }
    }
    found.retain(|other| !other.starts_with(own) && !own.starts_with(other));
    found
}

/// Returns every path that begins here: one, or those of a `{...}`, with their first names expanded.
fn paths(code: &str) -> Vec<Module> {
    let first = source::name(code);
    let rest = &code[first.len()..];
    if let Some(group) = code.strip_prefix('{') {
        return source::group(group).iter().flat_map(|item| paths(item)).collect();
    }
    if first.is_empty() {
        return vec![Vec::new()];
    }
    match rest.strip_prefix("::") {
        None => vec![vec![first.to_owned()]],
        Some(more) => paths(more)
            .into_iter()
            .map(|path| std::iter::once(first.to_owned()).chain(path).collect())
            .collect(),
    }
}

/// Returns the shortest way from a file back to itself.
fn way_back<'a>(
    start: &'a Module,
    named: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> Option<Vec<&'a Module>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| named.get(last)).into_iter().flatten() {
                if *next == start {
                    return Some(way);
                }
                if seen.insert(*next) {
                    longer.push(way.iter().copied().chain([*next]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let all = [&[("x/Cargo.toml", "")], files].concat();
        files_form_no_circle(&Tree::made_up(&all)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn files_that_name_each_other_are_found_in_every_form() {
        let b = ("x/src/room/b.rs", "use crate::room::c::C;");
        for back in [
            "use crate::room::b::B;",
            "use super::b;",
            "use crate::{a, room::{b::{B, self}}};",
            "fn f(_: super::super::room::b::B) {}",
        ] {
            let all = found(&[b, ("x/src/room/c.rs", back), ("x/src/a.rs", "")]);
            assert_eq!(all, ["is in a circle: x/src/room/b.rs -> x/src/room/c.rs"], "{back}");
        }
        let long =
            found(&[b, ("x/src/room/c.rs", "use crate::a::A;"), ("x/src/a.rs", "use crate::room::b;")]);
        assert_eq!(long, ["is in a circle: x/src/a.rs -> x/src/room/b.rs -> x/src/room/c.rs"]);
    }

    #[test]
    fn parts_of_one_module_and_what_only_tests_name_are_no_circle() {
        let whole = ("x/src/queue.rs", "use self::moves::M; use crate::queue::moves::N;");
        assert_eq!(found(&[whole, ("x/src/queue/moves.rs", "use super::Queue;")]), [""; 0]);
        let tests = "use crate::b::B;\n#[cfg(test)]\nmod tests {\n    use crate::c::C;\n}\n";
        assert_eq!(found(&[("x/src/c.rs", tests), ("x/src/b.rs", "")]), [""; 0]);
        assert_eq!(found(&[("x/src/b.rs", "use crate::c::C;"), ("x/src/c.rs", "// crate::b")]), [""; 0]);
    }
}
