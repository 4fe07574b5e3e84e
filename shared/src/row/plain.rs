//! A fast parser for the key of a row that is formatted exactly as [`IndexRow::to_line`](super::IndexRow::to_line)
//! writes it.
//!
//! A start reads a million rows. A line that differs in a single byte, even a space, is left to the JSON parser. For an
//! accepted line the JSON parser gives the same result.

/// The key of a row, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    pub(super) host_id: &'a str,
    pub(super) episode_id: &'a str,
    pub(super) sha256: &'a str,
    pub(super) size_bytes: u64,
}

/// Parses a line of that form; `None` for any other line, which may still be valid.
pub(super) fn read(line: &[u8]) -> Option<Plain<'_>> {
    let mut rest = Rest(line.strip_suffix(b"\n").unwrap_or(line));
    rest.skip(b"{")?;
    // Each of these two keys is left out if it has nothing to say.
    let _ = rest.skip(b"\"backfilled\":true,");
    if rest.skip(b"\"commit\":\"").is_some() {
        rest.text()?;
        rest.skip(b",")?;
    }
    rest.skip(b"\"episode_id\":\"")?;
    let episode_id = rest.text()?;
    rest.skip(b",\"host_id\":\"")?;
    let host_id = rest.text()?;
    rest.skip(b",\"received_at_wall\":\"")?;
    rest.text()?;
    rest.skip(b",\"schema_version\":")?;
    rest.number()?;
    rest.skip(b",\"sha256\":\"")?;
    let sha256 = rest.text()?;
    rest.skip(b",\"size_bytes\":")?;
    let size_bytes = rest.number()?;
    rest.skip(b"}")?;
    rest.0.is_empty().then_some(Plain { host_id, episode_id, sha256, size_bytes })
}

/// The rest of the line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Reads the text up to the next quote, and the quote itself. The text must be printable ASCII without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let is_odd = |byte: &u8| !(b' '..=b'~').contains(byte) || *byte == b'"' || *byte == b'\\';
        let (text, rest) = self.0.split_at_checked(self.0.iter().position(is_odd)?)?;
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()
    }

    /// Reads a whole number of at most 19 digits, which always fits.
    fn number(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        let is_usual = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 19;
        self.0 = rest;
        is_usual.then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }
}
