//! The rules for promises in documents: errors are explained, accidents and invariants are tested.

use cis490_shared::wire::problem::ErrorCode;

use crate::Finding;
use crate::documents::code_spans;
use crate::source;
use crate::tree::Tree;

/// The document in which operators look up an `error` member.
pub(crate) const ERRORS_DOCUMENT: &str = "docs/errors.md";

/// Finds errors that are not explained or not tested. An operator who meets an error must find its meaning and the next
/// step.
pub(crate) fn every_error_is_explained_and_tested(tree: &Tree) -> Vec<Finding> {
    let document = tree.get(ERRORS_DOCUMENT).unwrap_or_default();
    let mut findings = Vec::new();
    for code in ErrorCode::ALL {
        if !document.contains(&format!("`{code}`")) {
            let fix = format!("add an entry for `{code}`: what it means, and the operator's next command");
            findings.push(Finding::new(ERRORS_DOCUMENT, format!("does not explain `{code}`"), fix));
        }
        if !is_tested(tree, *code) {
            let fix = "add a test to receiver/tests or integration-tests/tests that sees it sent";
            findings.push(Finding::new(&format!("`{code}`"), "occurs in no test", fix));
        }
    }
    findings
}

/// Returns true if a test that sees the receiver's answers names the member, as text or as a constant.
///
/// Tests of the shipper do not count, because they do not show that the receiver sends the member.
fn is_tested(tree: &Tree, code: ErrorCode) -> bool {
    let (text, constant) = (format!("\"{code}\""), format!("ErrorCode::{code:?}"));
    ["receiver/tests/", "integration-tests/tests/"]
        .iter()
        .flat_map(|folder| tree.under(folder))
        .filter(|(path, _)| !path.starts_with("integration-tests/tests/tidy/"))
        .any(|(_, test)| test.contains(&text) || has_word(test, &constant))
}

/// Returns true if the text contains `word` as a whole, not as the beginning or the end of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    source::places(text, word).any(|at| source::name(&text[at + word.len()..]).is_empty())
}

/// The accidents of the previous generation whose tests are demanded; the list grows until it is complete.
const INCIDENTS: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13];

/// Finds accidents without a test of their number, because a lesson from production must not be forgotten.
pub(crate) fn every_incident_has_its_test(tree: &Tree) -> Vec<Finding> {
    let prefixes = INCIDENTS.iter().map(|number| format!("incident_{number:02}_"));
    prefixes
        .filter(|prefix| !tree.has_function(|name| name.starts_with(prefix.as_str())))
        .map(|prefix| {
            Finding::new(
                &format!("`{prefix}..`"),
                "names no test",
                "write the test that shows it cannot happen",
            )
        })
        .collect()
}

/// The document that lists the invariants for readers.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// The words on the line of an invariant whose test cannot be written yet.
const ADMITTED: &str = "still to come";

/// Finds invariants without a test: I1 to I10 must each name one that exists, or admit that there is none.
pub(crate) fn every_invariant_names_its_test(tree: &Tree) -> Vec<Finding> {
    let document = tree.get(ARCHITECTURE).unwrap_or_default();
    let mut findings = Vec::new();
    for number in 1..=10 {
        let invariant = format!("I{number}");
        let lines: Vec<&str> = document.lines().filter(|line| has_word(line, &invariant)).collect();
        let spans = lines.iter().flat_map(|line| code_spans(line));
        let tests: Vec<&str> = spans.filter(|span| is_test_name(span)).collect();
        if tests.is_empty() && !lines.iter().any(|line| line.contains(ADMITTED)) {
            let fix = format!("name the tests that prove it in backticks on its line, or say `{ADMITTED}`");
            findings.push(Finding::new(ARCHITECTURE, format!("names no test for {invariant}"), fix));
        }
        for test in tests {
            if !tree.has_function(|name| name == test) {
                let fix = "name a test that exists";
                findings.push(Finding::new(ARCHITECTURE, format!("names `{test}` for {invariant}"), fix));
            }
        }
    }
    findings
}

/// Returns true if a name is a claim in words: it has more words than the names of functions and keys.
fn is_test_name(span: &str) -> bool {
    span.matches('_').count() >= 3 && source::name(span) == span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_an_entry_or_a_test_is_found() {
        let findings = |files: &[(&str, &str)]| {
            let all = every_error_is_explained_and_tested(&Tree::made_up(files));
            all.into_iter()
                .filter(|finding| finding.fix.contains("`busy`") || finding.place == "`busy`")
                .count()
        };
        assert_eq!(findings(&[]), 2);
        assert_eq!(findings(&[("docs/errors.md", "`busy`"), ("receiver/tests/a.rs", "(\"busy\")")]), 0);
        assert_eq!(
            findings(&[("docs/errors.md", "`busy`"), ("receiver/tests/a.rs", "ErrorCode::BusyBody")]),
            1
        );
    }

    #[test]
    fn an_incident_counts_only_as_the_name_of_a_test() {
        let missing = |text| {
            every_incident_has_its_test(&Tree::made_up(&[("integration-tests/tests/a.rs", text)])).len()
        };
        assert_eq!(missing("// fn incident_01_x() {}"), INCIDENTS.len());
        assert_eq!(missing("fn incident_01_x() {}"), INCIDENTS.len() - 1);
    }

    #[test]
    fn an_invariant_that_names_a_test_that_is_gone_is_found() {
        let document = "| I1 | acknowledged means durable | `a_row_is_durable_before_201`, `index.jsonl` |";
        let findings = |code| {
            let tree = Tree::made_up(&[("ARCHITECTURE.md", document), ("receiver/tests/a.rs", code)]);
            every_invariant_names_its_test(&tree)
                .into_iter()
                .filter(|finding| has_word(&finding.what, "I1"))
                .count()
        };
        assert_eq!(findings("fn a_row_is_durable_before_201() {}"), 0);
        assert_eq!(findings(""), 1);
    }

    #[test]
    fn an_invariant_without_a_test_says_so() {
        let findings = |document| {
            let tree = Tree::made_up(&[("ARCHITECTURE.md", document)]);
            let all = every_invariant_names_its_test(&tree);
            all.into_iter().filter(|finding| finding.what.contains("I9")).count()
        };
        assert_eq!(findings("I9 is nice"), 1);
        assert_eq!(findings("I9 is still to come"), 0);
    }
}
