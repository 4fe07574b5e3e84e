//! `receiver.url`: the address of the receiver, parsed.

use std::fmt;

use awc::http::Uri;
use serde::{Deserialize, Deserializer, de};

/// `http://HOST[:PORT]` or `https://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverUrl {
    text: String,
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is not the address of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("it must begin with `http://` or `https://`")]
    Scheme,
    /// No host name, or an invalid one.
    #[error("it names no host")]
    Host,
    /// A user name or password.
    #[error("it must not hold a user name or password")]
    UserInfo,
    /// An address with a zone id (RFC 6874).
    #[error("it must not hold a zone id (`%eth0`), which names an interface: use an address that needs none")]
    Zone,
    /// Something after the host and port.
    #[error("it must end after the host and port: the shipper adds the path")]
    Path,
}

impl ReceiverUrl {
    /// Parses `http://HOST[:PORT]` or `https://HOST[:PORT]`, with or without a `/` at the end.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(UrlError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(UrlError::Path);
        }
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if authority.contains('%') {
            return Err(UrlError::Zone);
        }
        let uri: Uri = format!("http://{authority}").parse().map_err(|_| UrlError::Host)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(UrlError::Host)?;
        // The parser accepts a port that is no number, but no valid address has one.
        let port = match authority.strip_prefix(host) {
            Some("") => {
                if tls {
                    443
                } else {
                    80
                }
            }
            _ => uri.port_u16().ok_or(UrlError::Host)?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { text: text.trim_end_matches('/').to_owned(), tls, host, port })
    }

    /// Returns true if TLS protects the connection.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, which follows from the scheme if the text names none.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ReceiverUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| {
            de::Error::custom(format!("`receiver.url` is `{}`: {error}", text.escape_debug()))
        })
    }
}
