//! The rules of the tree that a program can check. `cargo tidy` runs only these tests.
//!
//! Every rule is a function from the checkout to findings, and its doc gives the reason for the rule. All rules run,
//! all findings are shown, and each names its fix. Rules about behaviour are tests of the programs and not part of this
//! binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod circles;
mod deployment;
mod documents;
mod edges;
mod english;
mod promises;
mod shape;
mod source;
mod tree;

use std::fmt;

use integration_tests::binaries;
use tree::Tree;

/// A place where the tree breaks a rule.
pub(crate) struct Finding {
    place: String,
    what: String,
    fix: String,
}

impl Finding {
    pub(crate) fn new(place: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}\n    fix: {}", self.place, self.what, self.fix)
    }
}

/// A rule about the tree.
type Rule = fn(&Tree) -> Vec<Finding>;

/// All rules, in the order in which their findings are shown.
const RULES: &[Rule] = &[
    edges::crates_know_only_their_left,
    edges::modules_know_only_their_right,
    circles::files_form_no_circle,
    edges::libraries_stay_in_their_rooms,
    shape::files_are_short,
    shape::files_say_what_they_are_for,
    shape::files_have_names,
    shape::only_front_ends_print,
    shape::log_messages_are_constant,
    english::texts_are_plain,
    promises::every_error_is_explained_and_tested,
    promises::every_incident_has_its_test,
    promises::every_invariant_names_its_test,
    documents::paths_in_documents_exist,
    documents::expected_documents_exist,
];

/// The rules that need the programs, which can only run if everything compiles.
const DEPLOYMENT_RULES: &[Rule] =
    &[deployment::units_use_what_the_programs_take, deployment::examples_are_taken];

#[test]
fn the_tree_keeps_its_rules() {
    assert_no_findings(RULES);
}

#[test]
fn what_is_installed_fits_the_programs() {
    assert_no_findings(DEPLOYMENT_RULES);
}

fn assert_no_findings(rules: &[Rule]) {
    let tree = Tree::read(binaries::workspace());
    let findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(&tree)).collect();
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), shown.join("\n"));
}
