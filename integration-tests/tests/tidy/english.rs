//! The English of comments and pages: phrases that make a reader go back to the beginning of the sentence.

use crate::Finding;
use crate::documents::prose;
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

/// This file, whose tests quote the phrases.
const QUOTES: &str = "integration-tests/tests/tidy/english.rs";

/// Finds comments and sentences of pages with a phrase that the style guide forbids, because a reader stumbles over it.
pub(crate) fn texts_are_plain(tree: &Tree) -> Vec<Finding> {
    let rust = tree.ending(".rs").filter(|(path, _)| *path != QUOTES);
    let comments = rust.flat_map(|(path, text)| {
        (1..).zip(text.lines()).filter_map(move |(number, line)| Some((path, number, comment(line)?)))
    });
    let pages = tree
        .ending(".md")
        .flat_map(|(path, text)| prose(text).map(move |(number, line)| (path, number, line)));
    let found = comments.chain(pages).filter_map(|(path, number, line)| {
        let says = format!("says `{}`", forbidden(line)?);
        let fix = "name the thing, then say what it does: subject, verb, object";
        Some(Finding::new(&format!("{path}:{number}"), says, fix))
    });
    found.collect()
}

/// Returns the comment of a line, if it has one. A `//` in a string does no harm, because no English follows it.
fn comment(line: &str) -> Option<&str> {
    let begin = line.trim_start();
    match begin.strip_prefix("//") {
        Some(comment) => Some(comment.trim_start_matches(['/', '!'])),
        None => line.split_once(" // ").map(|(_, comment)| comment),
    }
}

fn forbidden(text: &str) -> Option<String> {
    // Every second part is code in backticks, such as the name of a test.
    let prose: Vec<&str> = text.split('`').step_by(2).collect();
    let lower = prose.join(" code ").to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
    let joined = format!(" {} ", words.join(" "));
    if let Some(phrase) = PHRASES.iter().find(|phrase| joined.contains(&format!(" {phrase} "))) {
        return Some((*phrase).to_owned());
    }
    words.windows(2).find_map(|pair| match *pair {
        ["such", next] if !AFTER_SUCH.contains(&next) => Some("such".to_owned()),
        ["what", next] if AFTER_WHAT.contains(&next) && !text.contains('?') => Some(format!("what {next}")),
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
            ("/// Shown by `what_is_stored_stays`.", None),
        ] {
            assert_eq!(comment(line).and_then(forbidden).as_deref(), expected, "{line}");
        }
    }
}
