//! What the demo prints: numbered steps, a sentence each, and what the programs themselves said.

use std::io::{self, Write};

/// The voice of the demo.
pub(crate) struct Narrator<W> {
    out: W,
    step: usize,
}

impl<W: Write> Narrator<W> {
    /// A narrator that has said nothing yet.
    pub(crate) fn new(out: W) -> Self {
        Self { out, step: 0 }
    }

    /// The first words, without a number.
    pub(crate) fn title(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "{title}")
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) -> io::Result<()> {
        self.step += 1;
        writeln!(self.out, "\n{}. {title}", self.step)
    }

    /// Says one thing about the step.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "   {line}")
    }

    /// Shows what a program printed or a file holds, line by line.
    pub(crate) fn quote(&mut self, text: &str) -> io::Result<()> {
        text.trim_end().lines().try_for_each(|line| writeln!(self.out, "   | {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_and_quotes_are_marked() {
        let mut text = Vec::new();
        let mut narrator = Narrator::new(&mut text);
        narrator.title("a demo").unwrap();
        narrator.step("first").unwrap();
        narrator.say("it works").unwrap();
        narrator.step("second").unwrap();
        narrator.quote("a\nb\n").unwrap();
        let expected = "a demo\n\n1. first\n   it works\n\n2. second\n   | a\n   | b\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
