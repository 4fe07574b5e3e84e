//! Shortens and escapes foreign text for a terminal and a log. An error often repeats the input that it could not read,
//! which can be a megabyte long and contain control sequences.

use std::fmt::Write as _;

/// Maximum number of characters shown.
const SHOWN: usize = 200;
/// Maximum number of lines shown.
const SHOWN_LINES: usize = 40;

/// Returns the beginning of a text on one line, with everything escaped that a terminal would obey.
pub fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(SHOWN) {
        match character {
            // `escape_debug` would escape these, but they mean nothing to a terminal.
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    let left_out = characters.count();
    if left_out > 0 {
        // Writing to a String cannot fail.
        let _ = write!(shown, "... ({left_out} more characters)");
    }
    shown
}

/// Returns the first lines of a text that a person reads or pastes as lines. A leading `<` is escaped, because a
/// service manager reads `<N>` at the start of a line as its priority (sd-daemon(3)).
pub fn excerpt_of_lines(text: &str) -> String {
    let mut lines = text.split_inclusive('\n');
    let mut shown: String = lines
        .by_ref()
        .take(SHOWN_LINES)
        .map(|line| {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            match line.strip_prefix('<') {
                Some(rest) => format!("\\u{{3c}}{}{end}", excerpt(rest)),
                None => format!("{}{end}", excerpt(line)),
            }
        })
        .collect();
    let left_out = lines.count();
    if left_out > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "... ({left_out} more lines)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        let text = "invalid type: string \"h\u{f6}st's \\ name\", expected u64 at line 1 column 7";
        assert_eq!(excerpt(text), text);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_is_counted() {
        assert_eq!(excerpt("a\u{1b}[2J\r\n\u{202e}b"), "a\\u{1b}[2J\\r\\n\\u{202e}b");
        let told = excerpt(&"x".repeat(1 << 20));
        assert_eq!(told, format!("{}... (1048376 more characters)", "x".repeat(SHOWN)));
    }

    proptest! {
        #[test]
        fn an_excerpt_is_short_and_on_one_line(text in any::<String>()) {
            let told = excerpt(&text);
            prop_assert!(told.chars().all(|c| !c.is_control()), "{told:?}");
            // The longest escaped character is `\u{10ffff}`.
            prop_assert!(told.len() <= SHOWN * 10 + 60);
        }
    }
}
