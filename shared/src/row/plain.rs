//! The quick way to the key of a row that stands exactly as [`IndexRow::to_line`](super::IndexRow::to_line) writes it.
//!
//! A start reads a million of them. Whatever differs in a single byte, were it a space, is left to the JSON reader; what
//! is taken here means the same there.

/// What a row says about its key, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    pub(super) host_id: &'a str,
    pub(super) episode_id: &'a str,
    pub(super) sha256: &'a str,
    pub(super) size_bytes: u64,
}

/// Reads a line of that form; none for any other, which need not be wrong.
pub(super) fn read(line: &[u8]) -> Option<Plain<'_>> {
    let mut rest = Rest(line.strip_suffix(b"\n").unwrap_or(line));
    rest.skip(b"{")?;
    // Both keys are left out where they say nothing.
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

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// The text up to the next quote, which is taken too. It must be printable ASCII without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let is_odd = |byte: &u8| !(b' '..=b'~').contains(byte) || *byte == b'"' || *byte == b'\\';
        let (text, rest) = self.0.split_at_checked(self.0.iter().position(is_odd)?)?;
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()
    }

    /// A whole number of at most 19 digits, which all fit.
    fn number(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        let is_usual = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 19;
        self.0 = rest;
        is_usual.then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }
}
