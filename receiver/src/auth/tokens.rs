//! Bearer tokens: creation, hashing, lookup.
//!
//! A token is 32 random bytes, so a plain sha256 of it is as hard to invert as the token is to guess. A slow hash would
//! only slow the receiver down. The file holds only hashes, one `NAME = HASH` per line. A name may have several, such
//! as an old and a new token.
//!
//! A comment above the line holds the time when the token was made. It names the token by its id, so that it stays
//! right if lines are moved, and every version of the receiver can read the file.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use cis490_shared::ids::{HostId, IdError, Sha256Digest};
use cis490_shared::moment::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The prefix of every token, so that a leaked one can be recognised.
pub const PREFIX: &str = "cis490-";
/// The number of random bytes in a token.
pub const RANDOM_BYTES: usize = 32;

/// A token, which is shown once and never stored.
pub struct Token(String);

impl Token {
    /// Makes the token of these random bytes.
    pub fn of(random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = PREFIX.to_owned();
        for byte in random {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Returns the secret text, to show it to the person.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the hash, the only part that is stored.
    pub fn hash(&self) -> Sha256Digest {
        hash_of(&self.0)
    }

    /// Returns the id of the token.
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.hash())
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

/// The name of a token for people: the first 8 hex digits of its hash, which do not reveal the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(u32);

/// The error for a text that is no id of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 8 hex digits, as `cis490-receiver token list` prints it")]
pub struct BadTokenId;

impl TokenId {
    /// Returns the id of the token with this hash.
    pub const fn of(hash: &Sha256Digest) -> Self {
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for TokenId {
    type Err = BadTokenId;

    fn from_str(text: &str) -> Result<Self, BadTokenId> {
        let is_hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        parsed.map(Self).ok_or(BadTokenId)
    }
}

impl TryFrom<String> for TokenId {
    type Error = BadTokenId;

    fn try_from(text: String) -> Result<Self, BadTokenId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// The error for a line that is neither blank, nor a comment, nor a token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {reason}; a line is `HOST = HASH`, made by `cis490-receiver token add HOST`")]
pub struct BadLine {
    /// The line number, from 1.
    pub line: usize,
    /// The reason.
    pub reason: BadToken,
}

/// The reason why a line is bad.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadToken {
    /// The line has no equals sign.
    #[error("it has no `=`")]
    NoEquals,
    /// The text before the equals sign is no name.
    #[error("the name: {0}")]
    Name(IdError),
    /// The text after the equals sign is no hash. It is not repeated, because it may be a token.
    #[error("the text after `=` is not a hash")]
    Hash,
}

/// The tokens that are accepted, by their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    owners: HashMap<Sha256Digest, HostId>,
    made: HashMap<TokenId, Moment>,
}

/// The public facts about one token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TokenEntry {
    /// The host or reader.
    pub name: HostId,
    /// The time when it was made; `None` if the file does not say.
    pub made: Option<Moment>,
    /// The id of the token.
    pub id: TokenId,
}

impl Tokens {
    /// Parses a token file. One bad line makes the whole file invalid, so that a missing host is noticed at once, not
    /// after days of silence.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut tokens = Self::default();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.starts_with('#') {
                tokens.made.extend(made_in(line));
            } else if !line.is_empty() {
                let (hash, name) = entry(line).map_err(|reason| BadLine { line: number + 1, reason })?;
                tokens.owners.insert(hash, name);
            }
        }
        Ok(tokens)
    }

    /// Returns the owner of a token. The time of the lookup may reveal hashes, but a hash does not reveal its token.
    pub fn owner(&self, token: &str) -> Option<&HostId> {
        self.find(token).map(|(_, name)| name)
    }

    /// Returns the id and the owner of a token.
    pub fn find(&self, token: &str) -> Option<(TokenId, &HostId)> {
        let hash = hash_of(token);
        self.owners.get(&hash).map(|name| (TokenId::of(&hash), name))
    }

    /// Returns the tokens, sorted by name and then by age: unknown ages first, then the oldest.
    pub fn entries(&self) -> Vec<TokenEntry> {
        let entry = |(hash, name): (&Sha256Digest, &HostId)| {
            let id = TokenId::of(hash);
            TokenEntry { name: name.clone(), made: self.made.get(&id).copied(), id }
        };
        let mut entries: Vec<_> = self.owners.iter().map(entry).collect();
        entries.sort();
        entries
    }

    /// Returns true if no token is accepted.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Returns the sorted names; a name with two tokens appears twice.
    pub fn names(&self) -> Vec<&HostId> {
        let mut names: Vec<_> = self.owners.values().collect();
        names.sort();
        names
    }
}

/// The beginning of the comment above the line of a new token.
const MADE: &str = "# token ";

/// Returns the lines of a new token: the comment with the time, and the name with the hash.
pub fn lines_of(name: &HostId, token: &Token, made: Moment) -> String {
    format!("{MADE}{} made {made}\n{name} = {}\n", token.id(), token.hash())
}

/// Returns the token's id and the time from a comment; `None` for a comment of a person.
fn made_in(comment: &str) -> Option<(TokenId, Moment)> {
    let (id, made) = comment.strip_prefix(MADE)?.split_once(" made ")?;
    Some((id.parse().ok()?, made.parse().ok()?))
}

/// Returns the id of the token that a line or its comment belongs to.
pub fn token_in(line: &str) -> Option<TokenId> {
    let line = line.trim();
    match line.starts_with('#') {
        true => made_in(line).map(|(id, _)| id),
        false => entry(line).ok().map(|(hash, _)| TokenId::of(&hash)),
    }
}

/// Returns the hash and the owner of a line's token.
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
        assert_eq!(
            [tokens, Tokens::parse("# none yet\n").unwrap()].map(|tokens| tokens.is_empty()),
            [false, true]
        );
    }

    #[test]
    fn when_a_token_was_made_stands_in_a_comment_that_any_version_skips() {
        let (old, new) = (token(1), token(2));
        let name = HostId::parse("lab-1").unwrap();
        let made: Moment = "2025-10-09T08:53:20Z".parse().unwrap();
        let text =
            format!("lab-1 = {}\n{}# token of max made by hand\n", old.hash(), lines_of(&name, &new, made));
        let is_line = |line: &str| line.split_once('=').is_some() || line.starts_with('#');
        assert!(text.lines().all(is_line), "the grammar of earlier versions: {text}");
        let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert!(
            comments.iter().all(|comment| !comment.contains('=')),
            "an earlier `token remove` keeps them"
        );
        let tokens = Tokens::parse(&text).unwrap();
        let entry = |token: &Token, made| TokenEntry { name: name.clone(), made, id: token.id() };
        assert_eq!(tokens.entries(), [entry(&old, None), entry(&new, Some(made))]);
        assert_eq!(tokens.find(new.expose()), Some((new.id(), &name)));
        assert!(new.hash().to_string().starts_with(&new.id().to_string()));
        assert_eq!(text.lines().filter(|line| token_in(line) == Some(new.id())).count(), 2);
    }

    #[test]
    fn an_id_has_eight_hex_digits() {
        assert_eq!("00ABcdef".parse::<TokenId>().unwrap().to_string(), "00abcdef");
        for wrong in ["", "abc", "+0abcdef", "0123456789", "0123456g"] {
            assert_eq!(wrong.parse::<TokenId>(), Err(BadTokenId), "{wrong}");
        }
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
