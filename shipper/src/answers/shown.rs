//! What this host shows the receiver to say who it is, and what to look at where that is not enough.
//!
//! Pure. A person with a token is not sent to look at certificates, nor the other way round.

use super::outcome::{Blocked, Outcome};

/// What this host shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// `receiver.token_file`.
    Token,
    /// `receiver.client_cert_file`.
    Certificate,
    /// Both.
    Both,
}

impl Shown {
    /// Returns the help after an answer with this status; `None` if the status is not about the sender's identity.
    pub fn help(self, status: u16) -> Option<&'static str> {
        Some(match (status, self) {
            (401, Self::Token) => {
                "the receiver does not know the token in `receiver.token_file`; on the collector: `cis490-receiver token list`, \
                 and `cis490-receiver token add HOST` for a new one; put it into that file, nothing needs a restart"
            }
            (401, Self::Certificate) => {
                "the receiver does not take `receiver.client_cert_file`: its subject must name this host alone, and an \
                 authority of the receiver must have issued it"
            }
            (401, Self::Both) => {
                "the receiver takes neither the token in `receiver.token_file` nor `receiver.client_cert_file`; on the \
                 collector: `cis490-receiver token list`"
            }
            (401, Self::Nothing) => {
                "the receiver requires authentication: set `receiver.token_file` to a file with the output of \
                 `cis490-receiver token add HOST` on the collector, or `receiver.client_cert_file` and \
                 `receiver.client_key_file`"
            }
            (403, Self::Token) => {
                "the token in `receiver.token_file` is another host's: compare `host_id` with `cis490-receiver token list` \
                 on the collector"
            }
            (403, Self::Certificate) => {
                "`receiver.client_cert_file` names another host: compare it with `host_id`"
            }
            (403, Self::Both) => {
                "`receiver.client_cert_file` or the token in `receiver.token_file` is another host's: compare both with \
                 `host_id`"
            }
            (403, Self::Nothing) => "the receiver does not accept this host: check `host_id`",
            _ => return None,
        })
    }

    /// The same outcome, with the help that fits.
    pub fn explain(self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::HostBlocked(blocked) => {
                let help = self.help(blocked.status).unwrap_or(blocked.help);
                Outcome::HostBlocked(Blocked { help, ..blocked })
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_a_certificate() {
        for status in [401, 403] {
            let help = |shown: Shown| shown.help(status).unwrap();
            assert!(help(Shown::Token).contains("token") && !help(Shown::Token).contains("cert"));
            assert!(help(Shown::Certificate).contains("client_cert_file"));
            assert!(!help(Shown::Certificate).contains("token"));
        }
        assert_eq!(Shown::Token.help(404), None);
        let blocked = Outcome::HostBlocked(Blocked { status: 411, detail: None, help: "as it was" });
        assert_eq!(Shown::Both.explain(blocked.clone()), blocked);
    }
}
