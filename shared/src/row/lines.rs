//! Reads the lines of an index in bounded memory: even a hole or a line without an end takes no more than a row.

use std::io::{self, BufRead, Read};

/// Maximum length of a row in bytes, including its newline. A row has eight short members. A longer line, in practice
/// in a damaged file, is not a row.
pub const MAX_LINE: u64 = 64 * 1024;

/// The properties of a line that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The length in bytes, including the newline; 0 at the end of the file.
    pub length: u64,
    /// True if the line has its newline.
    pub ended: bool,
}

impl Line {
    /// Returns true if the line is too long for a row. Its bytes are not kept then.
    pub const fn is_overlong(self) -> bool {
        self.length > MAX_LINE
    }
}

/// Reads one line into `line`, which is left empty if the line is too long.
pub fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let kept = reader.by_ref().take(MAX_LINE).read_until(b'\n', line)? as u64;
    if kept < MAX_LINE || line.ends_with(b"\n") {
        return Ok(Line { length: kept, ended: line.ends_with(b"\n") });
    }
    let (skipped, ended) = skip_line(reader)?;
    let read = Line { length: kept + skipped, ended };
    if read.is_overlong() {
        line.clear();
    }
    Ok(read)
}

/// Skips to the end of a line. Returns the number of bytes skipped, and true if the line has its newline.
fn skip_line(reader: &mut impl BufRead) -> io::Result<(u64, bool)> {
    let mut skipped = 0;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let newline = available.iter().position(|byte| *byte == b'\n');
        let used = newline.map_or(available.len(), |at| at + 1);
        reader.consume(used);
        skipped += used as u64;
        if newline.is_some() || used == 0 {
            return Ok((skipped, newline.is_some()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8]) -> Vec<(Line, usize)> {
        let (mut reader, mut line, mut found) =
            (BufReader::with_capacity(1000, text), Vec::new(), Vec::new());
        loop {
            let read = read_line(&mut reader, &mut line).unwrap();
            if read.length == 0 {
                return found;
            }
            assert!(line.capacity() < 4 * 64 * 1024, "{} bytes are held", line.capacity());
            found.push((read, line.len()));
        }
    }

    #[test]
    fn every_line_has_its_length_and_none_is_kept_beyond_the_limit() {
        let limit = usize::try_from(MAX_LINE).unwrap();
        let of = |length: usize, ended| {
            let line = Line { length: length as u64, ended };
            (line, if line.is_overlong() { 0 } else { length })
        };
        let text = |lengths: &[usize]| -> Vec<u8> {
            lengths.iter().flat_map(|length| [vec![b'x'; length - 1], vec![b'\n']].concat()).collect()
        };
        let lengths = [1, 2, limit - 1, limit, limit + 1, 10 * limit, 1];
        assert_eq!(lines(&text(&lengths)), lengths.map(|length| of(length, true)));
        let longer = lengths.map(|length| of(length, true).0.is_overlong());
        assert_eq!(longer, [false, false, false, false, true, true, false]);
        for hole in [1, limit - 1, limit, limit + 1, 10 * limit] {
            let torn = [&text(&[5])[..], &vec![0; hole]].concat();
            assert_eq!(lines(&torn), [of(5, true), of(hole, false)], "{hole} NULs at the end");
        }
        assert_eq!(lines(b""), []);
    }
}
