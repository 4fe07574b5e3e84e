//! The rules for documents: every path in them exists, and so do the documents that people open first.

use crate::Finding;
use crate::promises::ERRORS_DOCUMENT;
use crate::tree::Tree;

/// Returns the texts between backticks on one line.
pub(crate) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Finds paths in documents that lead nowhere.
pub(crate) fn paths_in_documents_exist(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in prose(text) {
            for target in
                code_spans(line).filter(|span| is_repository_path(tree, span)).chain(link_targets(line))
            {
                if !is_there(tree, folder, target) {
                    let place = format!("{path}:{number}");
                    let fix = "name what is there, or put it there";
                    findings.push(Finding::new(
                        &place,
                        format!("leads to `{target}`, which is not there"),
                        fix,
                    ));
                }
            }
        }
    }
    findings
}

/// Returns the lines outside fenced blocks, counted from 1.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The crates in which a document's `http/server.rs` may be a source file.
const CRATES: &[&str] = &["shared", "receiver", "shipper", "tools", "integration-tests"];

/// Returns true if a path exists: from the top, from the document, or from the sources of a crate.
fn is_there(tree: &Tree, folder: &str, target: &str) -> bool {
    let in_crate = |member: &&str| tree.has(&format!("{member}/src/{target}"));
    tree.has(target) || tree.has(&resolve(folder, target)) || CRATES.iter().any(in_crate)
}

/// Returns true if a code span names a file of the checkout: it begins with a folder of ours, or is a document or
/// source.
fn is_repository_path(tree: &Tree, span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = span.split('/').next().unwrap_or_default();
    let begins_with_a_folder =
        span.contains('/') && !first.is_empty() && !first.starts_with("..") && tree.has(&format!("{first}/"));
    let extension = span.rsplit_once('.').map_or("", |(_, extension)| extension);
    plain && (begins_with_a_folder || extension == "md" || (extension == "rs" && span.contains('/')))
}

/// Returns the targets of `[text](target)` in the checkout, without their fragments.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    targets.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty())
}

/// Resolves a path relative to a document in `folder`.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Finds documents that people open first and that are missing.
pub(crate) fn expected_documents_exist(tree: &Tree) -> Vec<Finding> {
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", ERRORS_DOCUMENT, "docs/operators.md"]
        .into_iter()
        .filter(|path| !tree.has(path))
        .map(|path| Finding::new(path, "is missing", "write it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_nowhere_is_found_whether_in_backticks_or_as_a_link() {
        let findings = |text| {
            let tree = Tree::made_up(&[
                ("docs/a.md", text),
                ("docs/b.md", ""),
                ("etc/receiver.toml", ""),
                ("receiver/src/http/server.rs", ""),
            ]);
            paths_in_documents_exist(&tree).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert_eq!(
            findings("`etc/receiver.toml`, `etc/`, [b](b.md#x), [e](../etc/receiver.toml), `docs/b.md`"),
            [""; 0]
        );
        assert_eq!(
            findings("`/etc/x`, `receiver.toml`, `meta.json`, `a/b`, [x](https://example.org/x)"),
            [""; 0]
        );
        assert_eq!(findings("```\n`etc/gone.toml`\n```"), [""; 0]);
        assert_eq!(findings("`etc/gone.toml`").len(), 1);
        assert_eq!(findings("[b](gone.md)").len(), 1);
        assert_eq!(findings("`http/server.rs`"), [""; 0]);
        assert_eq!(findings("`http/gone.rs`").len(), 1);
    }
}
