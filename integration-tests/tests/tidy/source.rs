//! Just enough of a Rust lexer for the rules: it separates code, comments and literals.
//!
//! Blanked code has the same length as its source, so a position is the same in both.

/// Returns the text with blanks in place of comments and the insides of literals; line ends stay.
pub(crate) fn blank(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let token = token(text, at);
        for byte in &mut code[token.blank_from..token.blank_to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = token.end;
    }
    String::from_utf8(code).expect("only whole comments and literals are blanked")
}

/// The end of a token, and the part of it that is blanked.
struct Token {
    end: usize,
    blank_from: usize,
    blank_to: usize,
}

/// Returns the comment, the literal or the single character at `at`.
fn token(text: &str, at: usize) -> Token {
    let rest = &text[at..];
    let whole = |end: usize| Token { end, blank_from: at, blank_to: end };
    let inside = |open: usize, close: usize, end: usize| Token { end, blank_from: open, blank_to: close };
    if rest.starts_with("//") {
        return whole(rest.find('\n').map_or(text.len(), |length| at + length));
    }
    if rest.starts_with("/*") {
        return whole(block_comment_end(text, at));
    }
    if let Some(hashes) = raw_string_hashes(text, at) {
        let open = at + rest.find('"').unwrap_or(0) + 1;
        let closing = format!("\"{}", "#".repeat(hashes));
        let close = text[open..].find(&closing).map_or(text.len(), |length| open + length);
        return inside(open, close, (close + closing.len()).min(text.len()));
    }
    let mut characters = rest.chars();
    match (characters.next(), characters.next(), characters.next()) {
        (Some('"'), ..) => {
            let close = quote_end(text, at + 1, '"');
            inside(at + 1, close, (close + 1).min(text.len()))
        }
        // A character and not a lifetime: either escaped, or closed after one character.
        (Some('\''), Some('\\'), _) | (Some('\''), Some(_), Some('\'')) => {
            let close = quote_end(text, at + 1, '\'');
            inside(at + 1, close, (close + 1).min(text.len()))
        }
        (Some(one), ..) => inside(at, at, at + one.len_utf8()),
        (None, ..) => inside(at, at, text.len()),
    }
}

fn block_comment_end(text: &str, at: usize) -> usize {
    let (mut depth, mut end) = (0, at);
    loop {
        let rest = &text[end..];
        if rest.starts_with("/*") {
            depth += 1;
            end += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            end += 2;
        } else {
            match rest.chars().next() {
                Some(one) => end += one.len_utf8(),
                None => return text.len(),
            }
        }
        if depth == 0 {
            return end;
        }
    }
}

/// Returns the number of `#` of a raw string at `at`; `None` if there is no raw string.
fn raw_string_hashes(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = text[at..].strip_prefix("br").or_else(|| text[at..].strip_prefix('r'))?;
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Returns the position of the closing quote, and skips escaped characters.
fn quote_end(text: &str, from: usize, quote: char) -> usize {
    let mut escaped = false;
    for (offset, character) in text[from..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return from + offset,
            _ => {}
        }
    }
    text.len()
}

/// Returns true if the character before `at` belongs to a name, so that no name begins at `at`.
fn continues_a_name(code: &str, at: usize) -> bool {
    code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Returns the positions of `word` in blanked code, except in the tail of a longer name.
pub(crate) fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    code.match_indices(word).map(|(at, _)| at).filter(|at| !continues_a_name(code, *at))
}

/// Returns the name at the beginning of a piece of code; empty if there is none.
pub(crate) fn name(code: &str) -> &str {
    &code[..code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len())]
}

/// Returns the names of all functions in blanked code.
pub(crate) fn functions(code: &str) -> impl Iterator<Item = &str> {
    places(code, "fn ").map(|at| name(code[at + 3..].trim_start()))
}

/// Returns the items of a `{...}` whose brace is already open.
pub(crate) fn group(code: &str) -> Vec<&str> {
    let mut depth = 1;
    let close = code.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let end = close.unwrap_or(code.len());
    split_arguments(code, 0, end).iter().map(|(from, to)| code[*from..*to].trim()).collect()
}

/// Returns the line of a position, counted from 1.
pub(crate) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Returns the begin and end of the arguments of every call of the macro `name` in blanked code.
pub(crate) fn macro_arguments(code: &str, name: &str) -> Vec<(usize, usize)> {
    let call = format!("{name}!(");
    places(code, &call)
        .filter_map(|at| {
            let begin = at + call.len();
            let mut depth = 1;
            let close = code[begin..].find(|c| {
                depth += match c {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                };
                depth == 0
            })?;
            Some((begin, begin + close))
        })
        .collect()
}

/// Returns the begin and end of each argument between two positions, split at the commas.
pub(crate) fn split_arguments(code: &str, begin: usize, end: usize) -> Vec<(usize, usize)> {
    let (mut depth, mut from, mut arguments) = (0, begin, Vec::new());
    for (offset, character) in code[begin..end].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push((from, begin + offset));
                from = begin + offset + 1;
            }
            _ => {}
        }
    }
    arguments.push((from, end));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_moves() {
        let cases = [
            ("let a = \"x // y\"; b", "let a = \"      \"; b"),
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r##"r#"a " b"# c"##, r##"r#"     "# c"##),
            (r#""a \" b" c"#, r#""      " c"#),
            ("'\"' 'a str '\\'' x", "' ' 'a str '  ' x"),
            ("\"\u{e9}\" x", "\"  \" x"),
        ];
        for (text, code) in cases {
            assert_eq!(blank(text), code, "{text}");
            assert_eq!(blank(text).len(), text.len());
        }
    }

    #[test]
    fn a_word_is_not_found_in_the_tail_of_another() {
        assert_eq!(places("actix_web::a actix::b myactix::c", "actix::").collect::<Vec<_>>(), [13]);
    }

    #[test]
    fn functions_are_found_by_name() {
        assert_eq!(functions("pub async fn a_b() { fn c<T>() {} }").collect::<Vec<_>>(), ["a_b", "c"]);
    }

    #[test]
    fn arguments_are_split_where_they_end() {
        let code = "warn!(a = f(1, 2), b, \"  \")";
        let (begin, end) = macro_arguments(code, "warn")[0];
        let parts: Vec<&str> =
            split_arguments(code, begin, end).iter().map(|(a, b)| code[*a..*b].trim()).collect();
        assert_eq!(parts, ["a = f(1, 2)", "b", "\"  \""]);
    }
}
