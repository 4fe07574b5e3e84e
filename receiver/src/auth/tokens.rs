//! Bearer tokens: made, hashed, found again.
//!
//! A token is 32 random bytes, so its plain sha256 is as hard to turn back as it is to guess; a slow hash would only slow
//! the receiver down. Only hashes are kept, one `NAME = HASH` a line, and a name may have several: the old token and the new.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;

use cis490_shared::ids::{HostId, IdError, Sha256Digest};
use sha2::{Digest, Sha256};

/// What every token begins with, so that one that leaked is recognised for what it is.
pub const PREFIX: &str = "cis490-";
/// Random bytes of a token.
pub const RANDOM_BYTES: usize = 32;

/// A token, which is shown once and kept nowhere.
pub struct Token(String);

impl Token {
    /// The token of these random bytes.
    pub fn of(random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = PREFIX.to_owned();
        for byte in random {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// What the person is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> Sha256Digest {
        hash_of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn hash_of(token: &str) -> Sha256Digest {
    Sha256Digest::from_bytes(Sha256::digest(token).into())
}

/// A line of the token file that is neither blank, nor a comment, nor a token's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {reason}; a line is `HOST = HASH`, made by `cis490-receiver token add HOST`")]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: BadToken,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadToken {
    /// No equals sign.
    #[error("it has no `=`")]
    NoEquals,
    /// What stands before it.
    #[error("the name: {0}")]
    Name(IdError),
    /// What stands behind it. Not repeated, since it may be a token that somebody put there.
    #[error("what stands behind the `=` is no hash")]
    Hash,
}

/// The tokens that are accepted, by their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(HashMap<Sha256Digest, HostId>);

impl Tokens {
    /// Reads the text of a token file. One bad line refuses the whole: a host that is missing is noticed at once, not when
    /// it has been silent for days.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        entries
            .map(|(line, text)| entry(text).map_err(|reason| BadLine { line, reason }))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whose token this is. How long a look takes may tell something of the hashes, and a hash tells nothing of its token.
    pub fn owner(&self, token: &str) -> Option<&HostId> {
        self.0.get(&hash_of(token))
    }

    /// The names in their order; one that has two tokens comes twice.
    pub fn names(&self) -> Vec<&HostId> {
        let mut names: Vec<_> = self.0.values().collect();
        names.sort();
        names
    }
}

/// The hash of a line's token, and whose it is.
fn entry(line: &str) -> Result<(Sha256Digest, HostId), BadToken> {
    let (name, hash) = line.split_once('=').ok_or(BadToken::NoEquals)?;
    let name = HostId::parse(name.trim()).map_err(BadToken::Name)?;
    Ok((Sha256Digest::parse(hash.trim()).map_err(|_| BadToken::Hash)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(byte: u8) -> Token {
        Token::of([byte; RANDOM_BYTES])
    }

    #[test]
    fn a_token_is_found_by_its_hash_and_a_name_may_have_two() {
        let (old, new, other) = (token(1), token(2), token(3));
        let text = format!(
            "# lab hosts\n\nlab-1 = {}\n lab-1={} \nlab-2 = {}\n",
            old.hash(),
            new.hash(),
            other.hash()
        );
        let tokens = Tokens::parse(&text).unwrap();
        let owner = |token: &str| tokens.owner(token).map(HostId::as_str);
        assert_eq!(owner(old.expose()), Some("lab-1"));
        assert_eq!(owner(new.expose()), Some("lab-1"));
        assert_eq!(owner(other.expose()), Some("lab-2"));
        for wrong in ["", "cis490-", token(4).expose(), &old.hash().to_string(), &old.expose()[..70]] {
            assert_eq!(owner(wrong), None, "{wrong}");
        }
        assert_eq!(tokens.names().len(), 3);
    }

    #[test]
    fn a_bad_line_is_named_and_its_secret_is_not() {
        for (line, reason) in [
            ("lab-1", BadToken::NoEquals),
            ("lab-1 = cis490-0123", BadToken::Hash),
            ("lab-1 =", BadToken::Hash),
        ] {
            let error = Tokens::parse(&format!("# one\n{line}\n")).unwrap_err();
            assert_eq!(error, BadLine { line: 2, reason });
            assert!(!error.to_string().contains("0123"), "{error}");
        }
        assert!(matches!(Tokens::parse("-x = 00").unwrap_err().reason, BadToken::Name(_)));
    }

    #[test]
    fn a_token_shows_itself_only_when_asked_to() {
        assert_eq!(token(171).expose(), format!("{PREFIX}{}", "ab".repeat(32)));
        assert_eq!(format!("{:?}", token(1)), "Token(..)");
    }
}
