//! The rules for dependencies: of crates by their manifests, and of modules by the names in their code.

use crate::Finding;
use crate::source;
use crate::tree::Tree;

/// A member of the workspace: the crates of ours that it may depend on, and the crates that it must never depend on.
struct Member {
    folder: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const SHARED: &str = "cis490-shared";
const RECEIVER: &str = "cis490-receiver";
const SHIPPER: &str = "cis490-shipper";
const TOOLS: &str = "cis490-tools";

/// `shared <- receiver, shipper <- tools <- integration-tests`; receiver and shipper never see each other.
const MEMBERS: &[Member] = &[
    Member {
        folder: "shared",
        ours: &[],
        never: &["actix", "actix-rt", "actix-web", "actix-http", "actix-server", "awc", "anyhow"],
    },
    Member { folder: "receiver", ours: &[SHARED], never: &["awc"] },
    Member { folder: "shipper", ours: &[SHARED], never: &["actix-web", "actix-server"] },
    Member { folder: "tools", ours: &[SHARED, RECEIVER, SHIPPER], never: &["actix-web", "actix-http"] },
    Member { folder: "tools/bench", ours: &[SHARED, RECEIVER], never: &["actix-web", "awc"] },
    Member { folder: "integration-tests", ours: &[SHARED, RECEIVER, SHIPPER, TOOLS], never: &[] },
];

/// Finds crates that depend on a crate to their right or on a forbidden library. Also finds a version outside the
/// common table, and missing lints.
pub(crate) fn crates_know_only_their_left(tree: &Tree) -> Vec<Finding> {
    MEMBERS.iter().flat_map(|member| manifest_findings(tree, member)).collect()
}

fn manifest_findings(tree: &Tree, member: &Member) -> Vec<Finding> {
    let path = format!("{}/Cargo.toml", member.folder);
    let Some(text) = tree.get(&path) else {
        return vec![Finding::new(&path, "is missing", "every member of the workspace has one")];
    };
    let manifest: toml::Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut findings = Vec::new();
    let inherits = |value: &toml::Value| value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
    if !manifest.get("lints").is_some_and(inherits) {
        findings.push(Finding::new(
            &path,
            "is not linted like the others",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
            let ours = name.starts_with("cis490-");
            if (ours && !member.ours.contains(&name.as_str())) || member.never.contains(&name.as_str()) {
                let fix = "move what it needs to the left, or to where both may look";
                findings.push(Finding::new(&path, format!("depends on `{name}`"), fix));
            }
            if !inherits(value) {
                let fix = "write the version into [workspace.dependencies] and `workspace = true` here";
                findings.push(Finding::new(&path, format!("has a version of its own for `{name}`"), fix));
            }
        }
    }
    findings
}

/// The top-level modules of a crate from left to right: a module may only name modules to its right.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "receiver/src/",
        &[
            "main",
            "lib",
            "cli",
            "run",
            "watchdog",
            "http",
            "startup",
            "actors",
            "tls",
            "ingest",
            "records",
            "store",
            "index",
            "gate",
            "config",
            "auth",
            "io_thread",
            "descriptors",
        ],
    ),
    (
        "shipper/src/",
        &[
            "main", "lib", "cli", "run", "watchdog", "actors", "upload", "report", "http", "config", "store",
            "policy", "answers",
        ],
    ),
];

/// Finds modules that name a module to their left, or have no place in [`LAYERS`].
pub(crate) fn modules_know_only_their_right(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, layers) in LAYERS {
        let place = |module: &str| layers.iter().position(|name| *name == module);
        for (path, code) in tree.code() {
            let Some(inner) = path.strip_prefix(folder) else { continue };
            let own = inner.split(['/', '.']).next().unwrap_or_default();
            let Some(own_place) = place(own) else {
                let fix = "write it into LAYERS and into ARCHITECTURE.md";
                findings.push(Finding::new(path, format!("is of `{own}`, which has no place"), fix));
                continue;
            };
            for (at, named) in crate_paths(inner, &code) {
                if place(named).is_some_and(|place| place < own_place) {
                    let place = format!("{path}:{}", source::line(&code, at));
                    let fix = "pass what is needed as an argument, or move the type to the right";
                    findings.push(Finding::new(&place, format!("names `crate::{named}` from `{own}`"), fix));
                }
            }
        }
    }
    findings
}

/// Returns every top-level module that code names: `crate::a`, `crate::{a, b::c}`, and `super::super::a` that reaches
/// the top.
fn crate_paths<'a>(inner: &str, code: &'a str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for at in source::places(code, "crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push((at, source::name(rest))),
            Some(group) => {
                found.extend(source::group(group).into_iter().map(|item| (at, source::name(item))));
            }
        }
    }
    let depth = inner.matches('/').count() + usize::from(!inner.ends_with("/mod.rs"));
    for at in source::places(code, "super::") {
        let ups = code[at..].split("::").take_while(|part| *part == "super").count();
        if ups >= depth && !code[..at].ends_with("super::") {
            found.push((at, source::name(&code[at + ups * "super::".len()..])));
        }
    }
    found
}

/// A name, and the only places of a crate that may use it.
struct Confined {
    folder: &'static str,
    name: &'static str,
    to: &'static [&'static str],
}

/// The libraries that only some modules may use. A library that is used everywhere would make every module depend on
/// it.
const CONFINED: &[Confined] = &[
    Confined {
        folder: "receiver/src/",
        name: "actix::",
        to: &["cli.rs", "run.rs", "run/", "watchdog.rs", "actors/", "http/", "index/requests.rs"],
    },
    Confined { folder: "receiver/src/", name: "Addr<", to: &["run.rs", "run/", "watchdog.rs", "actors/"] },
    Confined { folder: "receiver/src/", name: "actix_web::", to: &["run.rs", "http/"] },
    Confined { folder: "receiver/src/", name: "actix_http::", to: &["run.rs", "http/"] },
    Confined {
        folder: "shipper/src/",
        name: "actix::",
        to: &["cli.rs", "cli/ping.rs", "run.rs", "watchdog.rs", "actors/"],
    },
    Confined {
        folder: "shipper/src/",
        name: "awc::",
        to: &["config/url.rs", "actors/upload.rs", "upload/", "http/"],
    },
    Confined { folder: "tools/src/", name: "actix::", to: &["backfill/apply", "bin/demo/"] },
    Confined { folder: "receiver/src/", name: "anyhow::", to: &["main.rs", "cli.rs"] },
    Confined { folder: "shipper/src/", name: "anyhow::", to: &["main.rs", "cli.rs"] },
    Confined { folder: "tools/src/", name: "anyhow::", to: &["bin/", "backfill/cli.rs"] },
];

/// Finds libraries outside the modules that may use them.
pub(crate) fn libraries_stay_in_their_rooms(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, code) in tree.code() {
        for Confined { folder, name, to } in CONFINED {
            let Some(inner) = path.strip_prefix(folder) else { continue };
            if to.iter().any(|allowed| inner.starts_with(allowed)) {
                continue;
            }
            for at in source::places(&code, name) {
                let place = format!("{path}:{}", source::line(&code, at));
                let fix = format!("in {folder} only {} may", to.join(", "));
                findings.push(Finding::new(&place, format!("uses `{name}`"), fix));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        let findings = rule(&Tree::made_up(&[(path, text)]));
        findings
            .into_iter()
            .filter(|finding| finding.place.starts_with(path))
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn a_receiver_that_knows_the_shipper_is_found() {
        let lints = "[lints]\nworkspace = true\n[dependencies]\n";
        let with = |line: &str| format!("{lints}{line}\n");
        let rule = crates_know_only_their_left;
        let path = "receiver/Cargo.toml";
        assert_eq!(found(rule, path, &with("cis490-shared.workspace = true")), [""; 0]);
        assert_eq!(
            found(rule, path, &with("cis490-shipper.workspace = true")),
            ["depends on `cis490-shipper`"]
        );
        assert_eq!(found(rule, path, &with("bytes = \"1\"")), ["has a version of its own for `bytes`"]);
        assert_eq!(found(rule, path, "[dependencies]\n"), ["is not linted like the others"]);
        assert_eq!(found(rule, "shared/Cargo.toml", &with("awc.workspace = true")), ["depends on `awc`"]);
    }

    #[test]
    fn a_module_that_names_its_left_is_found_in_every_form() {
        let rule = modules_know_only_their_right;
        for text in ["use crate::http::x;", "use crate::{auth, http::x};", "use super::super::http;"] {
            assert_eq!(
                found(rule, "receiver/src/gate/window.rs", text),
                ["names `crate::http` from `gate`"],
                "{text}"
            );
        }
        assert_eq!(found(rule, "receiver/src/gate/mod.rs", "use super::actors::x;").len(), 1);
        for text in ["// crate::http", "use super::http;", "use crate::config::x;", "use crate::auth::x;"] {
            assert_eq!(found(rule, "receiver/src/gate/window.rs", text), [""; 0], "{text}");
        }
        assert_eq!(found(rule, "receiver/src/ingest/writer.rs", "use crate::actors::x;").len(), 1);
        assert_eq!(found(rule, "receiver/src/attic/x.rs", ""), ["is of `attic`, which has no place"]);
    }

    #[test]
    fn a_library_outside_its_room_is_found() {
        let rule = libraries_stay_in_their_rooms;
        assert_eq!(found(rule, "receiver/src/gate/window.rs", "use actix::Actor;"), ["uses `actix::`"]);
        assert_eq!(found(rule, "receiver/src/http/episodes.rs", "x: Addr<A>"), ["uses `Addr<`"]);
        assert_eq!(found(rule, "receiver/src/actors/gate.rs", "use actix::Actor;"), [""; 0]);
    }
}
