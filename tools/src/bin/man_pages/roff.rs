//! Text as a manual page has it: what roff would take for a command is escaped, code between backticks is bold.

/// One line of text, to stand where a request needs one; `code` is bold.
pub(crate) fn inline(text: &str) -> String {
    let mut roff = String::with_capacity(text.len() + 16);
    for (index, span) in text.split('`').enumerate() {
        match index % 2 {
            0 => roff.push_str(&escape(span)),
            _ => roff.push_str(&bold(span)),
        }
    }
    // A full stop or a quote at the beginning of a line would make it a request.
    if roff.starts_with(['.', '\'']) { format!("\\&{roff}") } else { roff }
}

/// Code, as a reader types it.
pub(crate) fn bold(code: &str) -> String {
    format!("\\fB{}\\fR", escape(code))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('^', "\\(ha")
        .replace('~', "\\(ti")
}

/// The heading of a section.
pub(crate) fn heading(title: &str) -> String {
    format!(".SH \"{}\"\n", escape(title))
}

/// An item of a list: what it is about, and what there is to say of it.
pub(crate) fn item(tag: &str, text: &str) -> String {
    format!(".TP\n{}\n{}\n", bold(tag), inline(text))
}

/// Code that stands by itself, its lines as they are.
pub(crate) fn block(code: &str) -> String {
    let lines: Vec<String> = code.lines().map(|line| format!("\\&{}\n", escape(line))).collect();
    format!(".nf\n{}.fi\n", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_request_of_roff() {
        assert_eq!(inline(".incoming/ and `a-b\\c`"), "\\&.incoming/ and \\fBa\\-b\\ec\\fR");
        assert_eq!(inline("host's"), "host\\(aqs");
        assert_eq!(block(".x\ny"), ".nf\n\\&.x\n\\&y\n.fi\n");
    }
}
