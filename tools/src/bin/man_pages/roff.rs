//! Text in roff: commands of roff are escaped, code between backticks is bold.

/// Returns one line of text with `code` in bold.
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

/// Returns code in bold.
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

/// Returns the heading of a section.
pub(crate) fn heading(title: &str) -> String {
    format!(".SH \"{}\"\n", escape(title))
}

/// Returns an item of a list: its tag and its text.
pub(crate) fn item(tag: &str, text: &str) -> String {
    format!(".TP\n{}\n{}\n", bold(tag), inline(text))
}

/// Returns a block of code with its line breaks.
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
