//! The output of the demo: numbered steps, each with a sentence, and the output of the programs.

use std::io::{self, Write};

/// The printer of the demo.
pub(crate) struct Narrator<W> {
    out: W,
    step: usize,
}

impl<W: Write> Narrator<W> {
    /// Creates a narrator before the first step.
    pub(crate) fn new(out: W) -> Self {
        Self { out, step: 0 }
    }

    /// Prints the title, without a number.
    pub(crate) fn title(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "{title}")
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) -> io::Result<()> {
        self.step += 1;
        writeln!(self.out, "\n{}. {title}", self.step)
    }

    /// Prints one line about the step.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "   {line}")
    }

    /// Prints the output of a program or the text of a file, line by line.
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
