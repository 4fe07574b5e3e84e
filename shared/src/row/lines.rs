//! The lines of an index, whatever is in the file: a hole or a line without an end takes no more memory than a row.

use std::io::{self, BufRead, Read};

/// Longer than any row, in bytes: a row has eight short members. A longer line, in practice a damaged file, is no row.
pub const MAX_LINE: u64 = 64 * 1024;

/// One line, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its length in bytes, newline included; 0 at the end of the file.
    pub length: u64,
    /// Whether it has its newline.
    pub ended: bool,
}

impl Line {
    /// Whether it is too long for a row, so that nothing of it was kept.
    pub const fn is_overlong(self) -> bool {
        self.length > MAX_LINE
    }
}

/// Reads one line into `line`; of one that is too long, nothing.
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

/// Skips to the end of a line; how many bytes that were, and whether it has one.
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
