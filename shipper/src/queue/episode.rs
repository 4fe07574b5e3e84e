//! Which names in `episodes/` are episodes, and which of them are ready to be shipped (protocol 3.3).
//!
//! Pure: what is on disk is told to it. It never looks into an episode; that is left to packing.

use std::ffi::OsStr;
use std::io::ErrorKind;

use cis490_shared::ids::{EpisodeId, IdError};

/// Why an entry of `episodes/` is not shipped as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEpisode {
    /// Its name is no episode id.
    #[error("its name is no episode id: {0}")]
    Name(IdError),
    /// The name holds bytes that are no text.
    #[error("its name is not valid UTF-8")]
    NotText,
    /// A file, a link or something odder.
    #[error("it is not a directory")]
    NotADirectory,
    /// Nobody can tell whether it is finished.
    #[error("it cannot be read: {0}")]
    Unreadable(ErrorKind),
}

/// Takes the id of a directory entry. Whether the episode is finished is a question for the disk.
pub fn identify(name: &OsStr, is_directory: bool) -> Result<EpisodeId, NotAnEpisode> {
    let id = EpisodeId::parse(name.to_str().ok_or(NotAnEpisode::NotText)?).map_err(NotAnEpisode::Name)?;
    match is_directory {
        true => Ok(id),
        false => Err(NotAnEpisode::NotADirectory),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn only_a_directory_with_the_name_of_an_episode_is_one() {
        let name = OsStr::new("01JD8Z5V6T7M3K2Q9W8E4R5T6Y");
        assert_eq!(identify(name, true).unwrap().as_str(), "01JD8Z5V6T7M3K2Q9W8E4R5T6Y");
        assert_eq!(identify(name, false), Err(NotAnEpisode::NotADirectory));
        assert_eq!(
            identify(OsStr::new("lost+found"), true),
            Err(NotAnEpisode::Name(IdError::BadCharacter('+')))
        );
        assert_eq!(identify(OsStr::new(".tmp"), true), Err(NotAnEpisode::Name(IdError::BadStart('.'))));
        assert_eq!(identify(OsStr::from_bytes(b"\xff"), true), Err(NotAnEpisode::NotText));
    }
}
