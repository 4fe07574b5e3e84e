//! `--ping`: proves that a receiver answers and accepts this host. Prints that and the state of its gate in one line,
//! then a line with the gate's verdict for each commit of waiting episodes.
//!
//! It needs no actor and writes nothing, on either side. Health stubs and captive portals answer 200 too, so an answer
//! counts only if it holds a receiver's version and clock.

use std::fmt;
use std::time::{Duration, SystemTime};

use actix::System;
use cis490_shared::clock::system_time;
use cis490_shared::excerpt::excerpt;
use cis490_shared::latest::Latest;
use cis490_shared::wire::answer::{GateAnswer, PingAnswer};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::prospects::{Prospects, Waiting};
use crate::answers::answer::Answer;
use crate::answers::judge::about_the_receiver;
use crate::answers::outcome::Outcome;
use crate::answers::shown::Shown;
use crate::config::Config;
use crate::http::client::{Client, RequestError};
use crate::http::clock_skew::{self, ClockSkew};
use crate::http::requests;
use crate::http::target::{TargetError, TargetFiles};
use crate::report::{problem, words};
use crate::upload::deadlines::Deadlines;

mod prospects;

/// A receiver that answered.
#[derive(Debug)]
pub struct Pong {
    url: String,
    round_trip: Duration,
    /// The version; `None` for a receiver of the earlier generation.
    version: Option<String>,
    skew: Option<SignedDuration>,
    gate: Option<GateAnswer>,
    prospects: Prospects,
    expires: Option<SystemTime>,
}

impl Pong {
    /// Returns the reasons why this host is refused now, or soon will be.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.prospects.warnings();
        if let Some(skew) = self.skew.filter(|skew| skew.unsigned_abs() > clock_skew::TOO_MUCH.unsigned_abs())
        {
            let told = problem::skew_in_words(skew.as_secs());
            warnings.push(format!("{told}; with a wrong clock, certificates are refused: timedatectl"));
        }
        if let Some(GateAnswer { enabled: true, ready: true, polled_s_ago: Some(age), .. }) = &self.gate
            && *age > STALE_WINDOW_S
        {
            let age = words::duration(Duration::from_secs_f64(*age));
            warnings.push(format!(
                "the gate last read its window {age} ago, newer commits are refused; check the receiver's log on the \
                 collector"
            ));
        }
        warnings.extend(prospects::certificate(self.expires, system_time()));
        warnings
    }
}

/// The age from which a window is stale. A gate reads its clone every few seconds, or minutes at most, if it can.
const STALE_WINDOW_S: f64 = 3600.0;

impl fmt::Display for Pong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, round_trip, version, skew, gate, prospects, .. } = self;
        let millis = round_trip.as_secs_f64() * 1000.0;
        write!(f, "{url}: 200 in {millis:.1} ms, ")?;
        match version {
            Some(version) => write!(f, "receiver {}", excerpt(version))?,
            None => f.write_str("taken for a receiver of the earlier generation")?,
        }
        match skew {
            Some(skew) => write!(f, ", clock skew {:+.3} s", skew.as_secs_f64())?,
            None => f.write_str(", clock skew unknown")?,
        }
        match gate {
            None => f.write_str("; its gate says nothing")?,
            Some(GateAnswer { enabled: false, .. }) => f.write_str("; gate off, every commit is taken")?,
            Some(GateAnswer { ready: false, .. }) => {
                f.write_str("; gate not ready: it has read no window yet, uploads must be retried")?;
            }
            Some(GateAnswer { commits, window, head_commit, polled_s_ago, .. }) => {
                write!(f, "; gate open for {commits} commits")?;
                if let Some(head) = head_commit {
                    write!(f, " up to {:.12}", head.as_str())?;
                }
                write!(f, " (window {window})")?;
                polled_s_ago.map_or(Ok(()), |age| write!(f, ", read {age:.0} s ago"))?;
            }
        }
        prospects.lines().iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Why the path to the receiver is not proven.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// A certificate, key or token that the configuration names cannot be used.
    #[error(transparent)]
    Target(TargetError),
    /// There was no answer.
    #[error("`{url}`: {silence}")]
    Silent {
        /// The address.
        url: String,
        /// The reason.
        silence: RequestError,
    },
    /// The answer was 200, but not from a receiver.
    #[error("`{url}`: answered 200, but not as a receiver does: {what}")]
    Stranger {
        /// The address.
        url: String,
        /// A description of the answer.
        what: String,
    },
    /// The answer was an error.
    #[error("`{url}`: {said}")]
    Refused {
        /// The address.
        url: String,
        /// The status code and its explanation.
        said: String,
        /// The next step for a person.
        help: &'static str,
    },
}

impl PingError {
    /// Returns the next step.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused { help, .. } => help,
            Self::Stranger { .. } => {
                "check `receiver.url` and the proxies on the way; for a receiver of the earlier generation, set \
                 `receiver.accept_unproven_success` while it is in service"
            }
            Self::Target(_) => "mend the file that it names, then: cis490-shipper --check-config",
            Self::Silent { silence, .. } => silence.help().unwrap_or(
                "check `receiver.url` and the network; on the collector: systemctl status cis490-receiver",
            ),
        }
    }
}

/// Asks the receiver once.
pub fn ping(config: &Config) -> Result<Pong, PingError> {
    let url = config.receiver.url.to_string();
    let (target, _) = TargetFiles::read(&config.receiver).map_err(PingError::Target)?;
    let (shown, expires) = (target.shown(), target.tls.as_ref().and_then(|tls| tls.expires));
    let waiting = Waiting::below(&config.paths.data_root);
    System::new().block_on(async move {
        let client = Client::new(Latest::new(target), ClockSkew::default());
        let (begin, asked_at) = (Instant::now(), system_time());
        let answer = match requests::ping(&client, &config.host_id, Deadlines::default().small).await {
            Ok(answer) => answer,
            Err(silence) => return Err(PingError::Silent { url, silence }),
        };
        let round_trip = begin.elapsed();
        let pong = match pong(&url, &answer, shown) {
            Ok(pong) => Some(pong),
            // The answer of an earlier receiver only proves that it is there.
            Err(PingError::Stranger { .. })
                if config.receiver.accept_unproven_success && answer.object().is_some() =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        let gate = requests::gate_state(&client, Deadlines::default().small).await.ok().flatten();
        let skew = pong.as_ref().and_then(|pong| skew(pong, asked_at + round_trip / 2));
        let prospects = Prospects::ask(&client, &config.host_id, waiting, Deadlines::default().small).await;
        let version = pong.map(|pong| pong.version);
        Ok(Pong { url, round_trip, version, skew, gate, prospects, expires })
    })
}

/// Returns the receiver's answer. It is an error if another server answered, or if the receiver refuses this host.
fn pong(url: &str, answer: &Answer, shown: Shown) -> Result<PingAnswer, PingError> {
    let url = url.to_owned();
    match (answer.status, about_the_receiver(answer)) {
        (200, _) => requests::read::<PingAnswer>(answer)
            .filter(|pong| pong.status == "ok")
            .ok_or_else(|| PingError::Stranger { url, what: answer.looks_like() }),
        (status, Outcome::HostBlocked(blocked)) => {
            let said = format!("answered {status}: {}", answer.words());
            Err(PingError::Refused { url, said, help: shown.help(status).unwrap_or(blocked.help) })
        }
        (_, Outcome::Transient { reason, help: Some(help), .. }) => {
            Err(PingError::Refused { url, said: reason, help })
        }
        (status, _) => Err(PingError::Refused {
            url,
            said: format!("answered {status}: {}", answer.words()),
            help: "the receiver, or a proxy before it, is in trouble: look at its log",
        }),
    }
}

/// Returns how far the receiver's clock is ahead of ours.
fn skew(pong: &PingAnswer, ours: SystemTime) -> Option<SignedDuration> {
    let theirs: Timestamp = pong.server_time.as_str().parse().ok()?;
    Some(theirs.duration_since(Timestamp::try_from(ours).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::answer::Body;

    fn said(status: u16, body: &str) -> Result<PingAnswer, String> {
        let answer = Answer { status, body: Body::Whole(body.into()), ..Answer::default() };
        pong("http://x", &answer, Shown::Nothing).map_err(|error| error.to_string())
    }

    const OURS: &str =
        r#"{"status": "ok", "version": "0.1.0", "server_time": "2025-10-09T08:53:21.500000+00:00"}"#;

    #[test]
    fn only_a_receivers_answer_is_one() {
        assert!(said(200, OURS).is_ok());
        let strangers = [
            ("", "an empty body"),
            ("{}", "an empty JSON object"),
            (r#"{"status": "ok"}"#, "a JSON object with `status`"),
            ("<html><title>Welcome</title></html>", "a web page titled `Welcome`"),
            (r#"["ok", "0.1.0", "2025-10-09T08:53:21.500000+00:00"]"#, "JSON that is no object"),
        ];
        for (body, looks_like) in strangers {
            let told = said(200, body).unwrap_err();
            assert!(told.ends_with(looks_like), "{body}: {told}");
        }
        assert!(
            said(401, r#"{"error": "unauthenticated", "detail": "no token"}"#)
                .unwrap_err()
                .contains("no token")
        );
        let proxy = said(502, "<html><title>502 Bad Gateway</title></html>").unwrap_err();
        assert_eq!(proxy, "`http://x`: a proxy answered 502: it cannot reach the receiver behind it");
    }

    #[test]
    fn the_skew_is_between_the_two_clocks() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        assert_eq!(skew(&said(200, OURS).unwrap(), ours), Some(SignedDuration::from_millis(1500)));
    }

    #[test]
    fn the_gate_is_told_in_words() {
        let gate = |enabled, ready| GateAnswer {
            enabled,
            ready,
            window: 100,
            commits: 7,
            head_commit: cis490_shared::ids::CommitHash::parse(&"ab".repeat(20)).ok(),
            polled_s_ago: Some(2.4),
            amnesties: None,
        };
        let told = |gate| {
            let pong = Pong {
                url: "http://x".to_owned(),
                round_trip: Duration::from_millis(3),
                version: Some("0.1.0".to_owned()),
                skew: None,
                gate,
                prospects: Prospects::default(),
                expires: None,
            };
            pong.to_string().split_once("; ").unwrap().1.to_owned()
        };
        assert_eq!(
            told(Some(gate(true, true))),
            "gate open for 7 commits up to abababababab (window 100), read 2 s ago"
        );
        assert_eq!(told(Some(gate(false, true))), "gate off, every commit is taken");
        assert!(told(Some(gate(true, false))).starts_with("gate not ready"));
        assert_eq!(told(None), "its gate says nothing");
    }
}
