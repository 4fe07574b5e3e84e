//! The request paths of protocol section 2, built and parsed in one place.

use crate::ids::{CommitHash, EpisodeId, HostId};

/// `POST`: tests the whole way to the receiver, and writes nothing.
pub const PING: &str = "/v1/ping";
/// `GET`: the window as a whole; with `/{commit}` the verdict for one commit.
pub const GATE: &str = "/v1/gate";
/// `GET`: all host reports; with `/{host}` and `PUT` one host's report.
pub const HOST_HEALTH: &str = "/v1/host-health";
/// `GET`: liveness and readiness.
pub const HEALTH: &str = "/v1/health";
/// `GET`: the protocol as OpenAPI 3.1.
pub const OPENAPI: &str = "/v1/openapi.json";
/// Prefix of the paths for `PUT` and `HEAD` of episodes.
pub const EPISODES: &str = "/v1/episodes/";
/// Suffix of an archive's name, on the wire and on disk.
pub const ARCHIVE_SUFFIX: &str = ".tar.zst";

/// Returns the path of one episode.
pub fn episode(host: &HostId, episode: &EpisodeId) -> String {
    format!("{EPISODES}{host}/{episode}{ARCHIVE_SUFFIX}")
}

/// Returns the path for the verdict on one commit.
pub fn gate_of(commit: &CommitHash) -> String {
    format!("{GATE}/{commit}")
}

/// Splits the path of an episode into host and episode, unchecked; `None` if the path does not have that form.
pub fn split_episode(path: &str) -> Option<(&str, &str)> {
    let (host, file) = path.strip_prefix(EPISODES)?.split_once('/')?;
    Some((host, file.strip_suffix(ARCHIVE_SUFFIX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_path_comes_apart_as_it_was_built() {
        let (host, id) = (HostId::parse("lab-1").unwrap(), EpisodeId::parse("e1").unwrap());
        assert_eq!(split_episode(&episode(&host, &id)), Some(("lab-1", "e1")));
    }

    #[test]
    fn odd_paths_are_split_without_being_interpreted() {
        assert_eq!(split_episode("/v1/episodes/h/../x.tar.zst"), Some(("h", "../x")));
        assert_eq!(split_episode("/v1/episodes//.tar.zst"), Some(("", "")));
        assert_eq!(split_episode("/v1/episodes/h/x.tar"), None);
        assert_eq!(split_episode("/v1/episodes/h"), None);
    }
}
