//! The four identifiers of the protocol, each valid by construction.
//!
//! A [`HostId`] or [`EpisodeId`] is safe as a file name. `parse` is the only way to make one, and it accepts no
//! separator, no dot and no leading dash. Source of the forms: protocol section 1.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest host or episode id, in bytes.
pub const MAX_NAME_LEN: usize = 128;

/// The reason why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// The text has more than [`MAX_NAME_LEN`] bytes.
    #[error("it has {0} characters, at most {MAX_NAME_LEN} are allowed")]
    TooLong(usize),
    /// The first character is neither a letter nor a digit.
    #[error("it starts with `{}`, it must start with a letter or a digit", .0.escape_default())]
    BadStart(char),
    /// A character is outside `[A-Za-z0-9_-]`.
    #[error("it holds `{}`, only letters, digits, `_` and `-` are allowed", .0.escape_default())]
    BadCharacter(char),
    /// The number of digits is wrong.
    #[error("it has {0} characters, {1} hex digits are expected")]
    WrongLength(usize, &'static str),
    /// A character is not a hex digit.
    #[error("it holds `{}`, only hex digits are allowed", .0.escape_default())]
    NotHex(char),
}

fn check_name(text: &str) -> Result<(), IdError> {
    // A start checks millions of names, and nearly all of them are valid. So the reason is determined only for an
    // invalid one.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if let [first, ..] = text.as_bytes()
        && first.is_ascii_alphanumeric()
        && text.len() <= MAX_NAME_LEN
        && text.bytes().all(is_plain)
    {
        return Ok(());
    }
    let first = text.chars().next().ok_or(IdError::Empty)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(if bad == first { IdError::BadStart(bad) } else { IdError::BadCharacter(bad) });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(IdError::BadStart(first));
    }
    if text.len() > MAX_NAME_LEN {
        return Err(IdError::TooLong(text.len()));
    }
    Ok(())
}

fn check_hex(text: &str, lengths: &[usize], expected: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Some(bad) = text.chars().find(|c| !c.is_ascii_hexdigit())
    {
        return Err(IdError::NotHex(bad));
    }
    if !lengths.contains(&text.len()) {
        return Err(IdError::WrongLength(text.len(), expected));
    }
    Ok(())
}

/// Defines the common parts of the identifiers that are stored as text.
macro_rules! text_identifier {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses a text that has the form of this identifier.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let parse: fn(&str) -> Result<Box<str>, IdError> = $parse;
                parse(text).map(Self)
            }

            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        identifier_traits!($name);

        // An identifier hashes and compares like its text, so a map can be searched by a text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}

/// Defines parsing and debugging, which are the same for every identifier.
macro_rules! identifier_traits {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
    };
}

text_identifier!(
    /// A lab host: the host that recorded an episode.
    HostId,
    |text| check_name(text).map(|()| text.into())
);
text_identifier!(
    /// One episode of a host; in practice a ULID, so that names sort by time.
    EpisodeId,
    |text| check_name(text).map(|()| text.into())
);
text_identifier!(
    /// A full commit id: 40 hex digits, or 64 in a SHA-256 repository. Parsing accepts any case; the text is lower
    /// case.
    CommitHash,
    |text| check_hex(text, &[40, 64], "40 or 64").map(|()| text.to_ascii_lowercase().into())
);

impl CommitHash {
    /// Returns the first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// The sha256 of an archive's bytes as sent. Parsing accepts any case; the text is lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Parses 64 hex digits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_hex(text, &[64], "64")?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = hex_value(pair[0]) << 4 | hex_value(pair[1]);
        }
        Ok(Self(bytes))
    }

    /// Wraps a digest that was computed here.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the digest as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Returns the value of a character that is known to be a hex digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

identifier_traits!(Sha256Digest);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_allowed() {
        for name in ["a", "lab-host_1", "01JD8Z5V6T7M3K2Q9W8E4R5T6Y", "0", &"x".repeat(128)] {
            assert_eq!(HostId::parse(name).unwrap().as_str(), name);
            assert_eq!(EpisodeId::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn names_that_are_refused_say_why() {
        let cases = [
            ("", IdError::Empty),
            ("-rf", IdError::BadStart('-')),
            ("_x", IdError::BadStart('_')),
            (".", IdError::BadStart('.')),
            ("..", IdError::BadStart('.')),
            ("../../etc/passwd", IdError::BadStart('.')),
            ("a/b", IdError::BadCharacter('/')),
            ("a.b", IdError::BadCharacter('.')),
            ("a b", IdError::BadCharacter(' ')),
            ("a%2e", IdError::BadCharacter('%')),
            ("a\0", IdError::BadCharacter('\0')),
            ("höst", IdError::BadCharacter('ö')),
            ("ａ", IdError::BadStart('ａ')),
        ];
        for (name, error) in cases {
            assert_eq!(HostId::parse(name), Err(error), "{name:?}");
        }
        assert_eq!(EpisodeId::parse(&"x".repeat(129)), Err(IdError::TooLong(129)));
    }

    #[test]
    fn an_error_never_carries_control_characters_into_a_log() {
        let text = HostId::parse("a\u{1b}[2J").unwrap_err().to_string();
        assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    }

    #[test]
    fn commits_are_lower_cased_and_have_40_or_64_digits() {
        let upper = "ABCDEF0123456789ABCDEF0123456789ABCDEF01";
        assert_eq!(CommitHash::parse(upper).unwrap().as_str(), upper.to_lowercase());
        assert!(CommitHash::parse(&"a".repeat(64)).is_ok());
        assert_eq!(CommitHash::parse("abc123"), Err(IdError::WrongLength(6, "40 or 64")));
        assert_eq!(CommitHash::parse(&"g".repeat(40)), Err(IdError::NotHex('g')));
        assert_eq!(CommitHash::parse(""), Err(IdError::Empty));
    }

    #[test]
    fn serde_goes_through_the_same_door() {
        assert!(serde_json::from_str::<HostId>("\"lab-1\"").is_ok());
        let error = serde_json::from_str::<HostId>("\"../x\"").unwrap_err().to_string();
        assert!(error.contains("must start with a letter"), "{error}");
        assert!(serde_json::from_str::<Sha256Digest>("\"00\"").is_err());
    }

    proptest! {
        #[test]
        fn a_digest_survives_the_way_through_text(bytes: [u8; 32]) {
            let digest = Sha256Digest::from_bytes(bytes);
            prop_assert_eq!(Sha256Digest::parse(&digest.to_string()), Ok(digest));
            prop_assert_eq!(Sha256Digest::parse(&digest.to_string().to_uppercase()), Ok(digest));
        }

        #[test]
        fn whatever_parses_is_one_plain_path_component(text in "\\PC{0,140}") {
            if let Ok(id) = EpisodeId::parse(&text) {
                let path = std::path::Path::new(id.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
            }
        }
    }
}
