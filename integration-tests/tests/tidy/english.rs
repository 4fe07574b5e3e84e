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

/// The rooms whose comments were read and rewritten. The others follow.
const READ: &[&str] = &[
    "integration-tests/src/",
    "integration-tests/tests/suite/",
    "integration-tests/tests/system/",
    "integration-tests/tests/timing/",
    "receiver/src/actors/",
    "receiver/src/gate/",
    "receiver/src/http/",
    "receiver/src/index/",
    "receiver/src/ingest/",
    "receiver/src/store/",
    "receiver/src/tls/",
    "receiver/tests/",
    "shared/src/",
    "shipper/src/actors/",
    "shipper/src/answers/",
    "shipper/src/config/",
    "shipper/src/http/",
    "shipper/src/policy/",
    "shipper/src/store/",
    "shipper/src/upload/",
    "tools/bench/",
];

/// No comment in a room that was read holds a phrase that the style guide forbids.
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

/// The comment of a line, if it has one. A `//` in a string needs no care: what follows is no English.
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
