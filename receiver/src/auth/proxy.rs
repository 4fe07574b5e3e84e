//! The proxies that are trusted to name a client.
//!
//! A proxy that has checked a client's certificate names its owner in a header. Any client can send a header, so it
//! counts only on a connection from the proxy: over the Unix socket, or from an address in the configuration.

use std::net::{IpAddr, SocketAddr};

use cis490_shared::ids::HostId;

/// The origin of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The receiver's own Unix socket, to which only its group may connect.
    Unix,
    /// A TCP address, if it is known.
    Tcp(Option<SocketAddr>),
}

/// An address from which a proxy is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusted {
    /// The Unix socket.
    Unix,
    /// A TCP address with any port.
    Address(IpAddr),
}

impl Trusted {
    /// Parses `unix` or an address.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "unix" { Some(Self::Unix) } else { text.parse().ok().map(Self::Address) }
    }

    fn covers(self, origin: Origin) -> bool {
        match (self, origin) {
            (Self::Unix, Origin::Unix) => true,
            // On a dual-stack socket an IPv4 client has a mapped IPv6 address.
            (Self::Address(address), Origin::Tcp(Some(peer))) => {
                peer.ip().to_canonical() == address.to_canonical()
            }
            _ => false,
        }
    }
}

/// The trusted proxies, and the header in which they name the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// The header's name in lower case.
    pub header: String,
    /// The addresses of the proxies.
    pub from: Vec<Trusted>,
}

impl Proxies {
    /// Returns true if a request from this origin may name its client.
    pub fn trust(&self, origin: Origin) -> bool {
        self.from.iter().any(|trusted| trusted.covers(origin))
    }
}

/// Returns the name in a proxy's header: a plain name, or the common name of a subject such as `CN=lab-1,O=lab` or
/// `/O=lab/CN=lab-1`.
///
/// A subject with two common names, or with an escape, names no host, because the receiver must not guess.
pub fn name_in(value: &str) -> Option<HostId> {
    if let Ok(name) = HostId::parse(value) {
        return Some(name);
    }
    if value.contains(['\\', '"', '+']) {
        return None;
    }
    let separator = if value.starts_with('/') { '/' } else { ',' };
    let mut names = value.split(separator).filter_map(|part| {
        let (key, name) = part.trim().split_once('=')?;
        key.eq_ignore_ascii_case("CN").then_some(name)
    });
    let name = names.next()?;
    if names.next().is_some() { None } else { HostId::parse(name).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_place_is_believed() {
        let from = |text: &[&str]| text.iter().map(|text| Trusted::parse(text).unwrap()).collect();
        let proxies = |text: &[&str]| Proxies { header: "x-client".to_owned(), from: from(text) };
        let tcp = |text: &str| Origin::Tcp(Some(text.parse().unwrap()));
        for (listed, origin, believed) in [
            (["unix"].as_slice(), Origin::Unix, true),
            (&["unix"], tcp("127.0.0.1:5"), false),
            (&["127.0.0.1"], tcp("127.0.0.1:5"), true),
            (&["127.0.0.1"], tcp("[::ffff:127.0.0.1]:5"), true),
            (&["127.0.0.1"], tcp("127.0.0.2:5"), false),
            (&["127.0.0.1"], Origin::Unix, false),
            (&["127.0.0.1", "unix"], Origin::Tcp(None), false),
            (&["::1"], tcp("[::1]:5"), true),
            (&[], Origin::Unix, false),
        ] {
            assert_eq!(proxies(listed).trust(origin), believed, "{listed:?} {origin:?}");
        }
        assert_eq!(Trusted::parse("proxy.example"), None);
        assert_eq!(Trusted::parse("127.0.0.1:80"), None);
    }

    #[test]
    fn a_subject_names_one_host_or_nobody() {
        for (value, name) in [
            ("lab-1", Some("lab-1")),
            ("CN=lab-1", Some("lab-1")),
            ("CN=lab-1,O=lab", Some("lab-1")),
            ("O=lab, cn=lab-1", Some("lab-1")),
            ("/O=lab/CN=lab-1", Some("lab-1")),
            ("", None),
            ("O=lab", None),
            ("CN=", None),
            ("CN=lab-1,CN=lab-2", None),
            ("CN=lab-1\\,CN=lab-2", None),
            ("O=\"x,CN=lab-2\"", None),
            ("CN=lab-1+CN=lab-2", None),
            ("CN=lab 1", None),
            ("lab-1, lab-2", None),
        ] {
            assert_eq!(name_in(value).as_ref().map(HostId::as_str), name, "{value}");
        }
    }
}
