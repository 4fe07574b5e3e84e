//! The rights of each principal on each path.
//!
//! They are checked once for every request, before any handler and before `100 Continue`. A path that is in no row
//! needs a name, so a path that is added later is not open by accident.

use cis490_shared::wire::path;

use super::principal::Principal;

/// The right that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// No right: any client that reaches the port may ask.
    Nothing,
    /// Any proven name.
    Name,
    /// The right to read data of all hosts.
    Readers,
    /// The name of this host, or the right to read.
    Read(&'a str),
    /// The name of this host.
    Write(&'a str),
}

/// Returns the right that a request needs. `raw_path` is not decoded: a host in escapes matches no name.
pub fn need<'a>(method: &str, raw_path: &'a str) -> Need<'a> {
    let host_of_report = || raw_path.strip_prefix(path::HOST_HEALTH)?.strip_prefix('/');
    let is_read = matches!(method, "GET" | "HEAD");
    if matches!(raw_path, path::HEALTH | path::OPENAPI) && is_read {
        return Need::Nothing;
    }
    // The host counts even if the rest of the path is wrong.
    let host = raw_path.strip_prefix(path::EPISODES).map(|rest| rest.split('/').next().unwrap_or_default());
    match host.or_else(host_of_report) {
        Some(host) if is_read => Need::Read(host),
        Some(host) => Need::Write(host),
        // A path with escapes may be the path of the reports.
        None if raw_path == path::HOST_HEALTH || raw_path.contains('%') => Need::Readers,
        None => Need::Name,
    }
}

/// Returns true if the principal has this right.
pub fn permits(principal: &Principal, need: Need<'_>) -> bool {
    match (principal, need) {
        (Principal::Anybody, _)
        | (_, Need::Nothing | Need::Name)
        | (Principal::Reader(_), Need::Readers | Need::Read(_)) => true,
        (Principal::Host(name), Need::Read(host) | Need::Write(host)) => name.as_str() == host,
        (Principal::Reader(_), Need::Write(_)) | (Principal::Host(_), Need::Readers) => false,
    }
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::HostId;

    use super::*;

    #[test]
    fn every_endpoint_has_its_need() {
        for (method, path, expected) in [
            ("PUT", "/v1/episodes/lab-1/e.tar.zst", Need::Write("lab-1")),
            ("HEAD", "/v1/episodes/lab-1/e.tar.zst", Need::Read("lab-1")),
            ("DELETE", "/v1/episodes/lab-1/e.tar.zst", Need::Write("lab-1")),
            ("PUT", "/v1/episodes/lab-1", Need::Write("lab-1")),
            ("PUT", "/v1/episodes/lab%2d1/e.tar.zst", Need::Write("lab%2d1")),
            ("PUT", "/v1/episodes//lab-1/e.tar.zst", Need::Write("")),
            ("PUT", "/v1/host-health/lab-1", Need::Write("lab-1")),
            ("GET", "/v1/host-health", Need::Readers),
            ("GET", "/v1/host%2dhealth", Need::Readers),
            ("GET", "/v1/host-health/", Need::Read("")),
            ("POST", "/v1/ping", Need::Name),
            ("GET", "/v1/gate", Need::Name),
            ("GET", "/v1/gate/abc", Need::Name),
            ("GET", "/v1/health", Need::Nothing),
            ("GET", "/v1/openapi.json", Need::Nothing),
            ("PUT", "/v1/health", Need::Name),
            ("GET", "/v1/health/", Need::Name),
            ("GET", "/anything", Need::Name),
        ] {
            assert_eq!(need(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_host_acts_for_itself_alone_and_a_reader_reads() {
        let name = |text| HostId::parse(text).unwrap();
        let (anybody, host, reader) =
            (Principal::Anybody, Principal::Host(name("lab-1")), Principal::Reader(name("alice")));
        for (need, by_host, by_reader) in [
            (Need::Nothing, true, true),
            (Need::Name, true, true),
            (Need::Readers, false, true),
            (Need::Read("lab-1"), true, true),
            (Need::Write("lab-1"), true, false),
            (Need::Read("lab-2"), false, true),
            (Need::Write("lab-2"), false, false),
            (Need::Write("alice"), false, false),
            (Need::Write(""), false, false),
        ] {
            assert!(permits(&anybody, need));
            assert_eq!(permits(&host, need), by_host, "{need:?}");
            assert_eq!(permits(&reader, need), by_reader, "{need:?}");
        }
    }
}
