//! The English of comments: phrases that make a reader go back to the beginning of the sentence.

use crate::Finding;
use crate::tree::Tree;

/// Noun clauses as subjects, pronouns without a noun, and words for people where a program is meant.
const PHRASES: &[&str] = &[
    "whoever",
    "so many",
    "so much",
    "heed",
    "heeds",
    "is believed",
    "are believed",
    "said of",
    "says of",
    "same of",
    "but for",
    "that one",
    "none where",
    "whether that is",
    "how it goes",
    "how it does",
    "he",
    "him",
    "his",
];

/// The words that may follow `such`.
const AFTER_SUCH: [&str; 2] = ["as", "that"];
/// The words that make a noun clause of `what`, unless the sentence is a question.
const AFTER_WHAT: [&str; 10] = ["is", "are", "was", "were", "has", "had", "holds", "comes", "came", "lies"];

/// The rooms with comments to check: all except this file, whose tests quote the phrases.
const READ: &[&str] = &[
    "fuzz/",
    "integration-tests/src/",
    "integration-tests/tests/suite/",
    "integration-tests/tests/system/",
    "integration-tests/tests/tidy/circles.rs",
    "integration-tests/tests/tidy/deployment.rs",
    "integration-tests/tests/tidy/documents.rs",
    "integration-tests/tests/tidy/edges.rs",
    "integration-tests/tests/tidy/main.rs",
    "integration-tests/tests/tidy/promises.rs",
    "integration-tests/tests/tidy/shape.rs",
    "integration-tests/tests/tidy/source.rs",
    "integration-tests/tests/tidy/tree.rs",
    "integration-tests/tests/timing/",
    "receiver/",
    "shared/",
    "shipper/",
    "tools/",
];

/// Finds comments with a phrase that the style guide forbids, because a reader stumbles over it.
pub(crate) fn comments_are_plain(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = READ.iter().flat_map(|room| tree.under(room));
    for (path, text) in files.filter(|(path, _)| path.strip_suffix(".rs").is_some()) {
        for (number, line) in text.lines().enumerate() {
            if let Some(phrase) = comment(line).and_then(forbidden) {
                let place = format!("{path}:{}", number + 1);
                let fix = "name the thing, then say what it does: subject, verb, object";
                findings.push(Finding::new(&place, format!("says `{phrase}`"), fix));
            }
        }
    }
    findings
}

/// Returns the comment of a line, if it has one. A `//` in a string does no harm, because no English follows it.
fn comment(line: &str) -> Option<&str> {
    let begin = line.trim_start();
    match begin.strip_prefix("//") {
        Some(comment) => Some(comment.trim_start_matches(['/', '!'])),
        None => line.split_once(" // ").map(|(_, comment)| comment),
    }
}

fn forbidden(comment: &str) -> Option<String> {
    let lower = comment.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
    let joined = format!(" {} ", words.join(" "));
    if let Some(phrase) = PHRASES.iter().find(|phrase| joined.contains(&format!(" {phrase} "))) {
        return Some((*phrase).to_owned());
    }
    words.windows(2).find_map(|pair| match *pair {
        ["such", next] if !AFTER_SUCH.contains(&next) => Some("such".to_owned()),
        ["what", next] if AFTER_WHAT.contains(&next) && !comment.contains('?') => {
            Some(format!("what {next}"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn riddles_are_found_and_plain_sentences_are_not() {
        for (line, expected) in [
            ("/// Whoever asks is told.", Some("whoever")),
            ("    // What is stored stays.", Some("what is")),
            ("let x = 1; // of such files", Some("such")),
            ("//! A host, and his token.", Some("his")),
            ("/// Returns the limit, such as 5.", None),
            ("/// What is stored? The archive.", None),
            ("let text = \"whoever\";", None),
            ("/// The theme of the history.", None),
        ] {
            assert_eq!(comment(line).and_then(forbidden).as_deref(), expected, "{line}");
        }
    }
}
