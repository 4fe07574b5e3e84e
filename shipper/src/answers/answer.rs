//! An answer as received: the error that a receiver states in it, or a description if no receiver sent it.
//!
//! Pure. Proxies, captive portals, health stubs and broken connections answer too. So an error counts as a receiver's
//! only if the body is a whole JSON object that states one. Everything from the network is escaped and bounded here,
//! before it reaches a log, a terminal or a note.

use std::time::Duration;

use cis490_shared::excerpt::excerpt;
use cis490_shared::wire::headers::CommitPosition;
use cis490_shared::wire::problem::{AnyProblem, ErrorCode};
use serde_json::{Map, Value};

/// The longest body that is read, in bytes. The receiver's bodies are below 4 KiB, except for a long remediation.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The most members of an object that a description names.
const NAMED_MEMBERS: usize = 6;

/// An answer as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The wait that `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// `X-Cis490-Commit-Position`.
    pub position: Option<CommitPosition>,
    /// `Location`, as it was sent.
    pub location: Option<String>,
    /// `Server`, as it was sent.
    pub server: Option<String>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The whole body.
    Whole(Vec<u8>),
    /// The body ended early, or did not come in time.
    Cut,
    /// The body is longer than [`MAX_BODY_BYTES`].
    TooLong,
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Vec::new())
    }
}

impl Answer {
    /// Returns true if the status claims success.
    pub fn claims_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    /// Returns the body if all of it came.
    pub fn whole_body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Whole(bytes) => Some(bytes),
            Body::Cut | Body::TooLong => None,
        }
    }

    /// Returns the object in a whole body. `None` if the body is not one.
    pub fn object(&self) -> Option<Map<String, Value>> {
        match serde_json::from_slice(self.whole_body()?) {
            Ok(Value::Object(members)) => Some(members),
            _ => None,
        }
    }

    /// Returns the error that a receiver of either generation states. `None` if nothing shows that a receiver sent it.
    ///
    /// A receiver sends an error of the protocol with the status of that error, or one with a `type` of ours. An
    /// earlier receiver sends a remediation or the hash of the stored bytes.
    pub fn problem(&self) -> Option<AnyProblem> {
        let problem = AnyProblem::parse(self.whole_body()?)?;
        let is_known = |error: &String| {
            ErrorCode::ALL.iter().any(|code| code.as_str() == error && code.status() == self.status)
        };
        let is_a_receivers = problem.error.as_ref().is_some_and(is_known)
            || problem.has_our_type()
            || problem.remediation.is_some()
            || problem.stored_sha256.is_some();
        is_a_receivers.then_some(problem)
    }

    /// Returns the answer in words: its own error and detail, or a description if it has none.
    pub fn words(&self) -> String {
        let said = self.whole_body().and_then(AnyProblem::parse).unwrap_or_default();
        match (said.error, said.detail) {
            (Some(error), Some(detail)) => format!("`{error}`: {detail}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => self.looks_like(),
        }
    }

    /// Describes the proxy that answered in place of the receiver; `None` if a receiver may have given the answer.
    pub fn of_proxy(&self) -> Option<String> {
        let what = match self.status {
            502 => "it cannot reach the receiver behind it",
            503 => "it takes no more requests, or cannot reach the receiver behind it",
            504 => "the receiver behind it does not answer in time",
            _ => return None,
        };
        if self.problem().is_some() {
            return None;
        }
        let body = String::from_utf8_lossy(self.whole_body().unwrap_or_default()).to_ascii_lowercase();
        let server = self.server.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_page = body.contains("<html") || body.trim().is_empty();
        let named = [("nginx", "nginx"), ("caddy", "Caddy")]
            .into_iter()
            .find(|(word, _)| server.starts_with(word) || (is_page && body.contains(word)));
        let proxy = match named {
            Some((_, name)) => name,
            // A receiver says 503 as well; an empty one may be anybody's.
            None if self.status == 503 || !is_page => return None,
            None => "a proxy",
        };
        Some(format!("{proxy} answered {}: {what}", self.status))
    }

    /// What it looks like to a person.
    pub fn looks_like(&self) -> String {
        let what = match (&self.location, &self.body) {
            (Some(location), _) if (300..=399).contains(&self.status) => {
                format!("a redirect to `{}`, which is not followed", excerpt(location))
            }
            (_, Body::Cut) => "a body that was cut".to_owned(),
            (_, Body::TooLong) => format!("a body of more than {} KiB", MAX_BODY_BYTES / 1024),
            (_, Body::Whole(bytes)) => body_looks_like(bytes),
        };
        match &self.server {
            Some(server) => format!("{what}, from `{}`", excerpt(server)),
            None => what,
        }
    }
}

fn body_looks_like(bytes: &[u8]) -> String {
    if bytes.trim_ascii().is_empty() {
        return "an empty body".to_owned();
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(members)) if members.is_empty() => return "an empty JSON object".to_owned(),
        Ok(Value::Object(members)) => {
            let names: Vec<String> =
                members.keys().take(NAMED_MEMBERS).map(|name| format!("`{}`", excerpt(name))).collect();
            return format!("a JSON object with {}", names.join(", "));
        }
        Ok(_) => return "JSON that is no object".to_owned(),
        Err(_) => {}
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("{} bytes that are no text", bytes.len());
    };
    let lower = text.to_ascii_lowercase();
    if lower.trim_start().starts_with("<!doctype html") || lower.contains("<html") {
        return match title(text, &lower) {
            Some(title) => format!("a web page titled `{}`", excerpt(title)),
            None => "a web page without a title".to_owned(),
        };
    }
    format!("the text `{}`", excerpt(text.trim()))
}

/// Returns the text between the tags of the title. Lower case in ASCII shifts no position.
fn title<'a>(text: &'a str, lower: &str) -> Option<&'a str> {
    let tag = lower.find("<title")?;
    let begin = tag + lower[tag..].find('>')? + 1;
    let end = begin + lower[begin..].find("</title")?;
    Some(text[begin..end].trim()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Body::Whole(body.into()), ..Answer::default() }
    }

    #[test]
    fn an_error_is_a_receivers_only_where_a_whole_object_states_one() {
        let ours = [
            (412, r#"{"error": "commit-not-in-window"}"#),
            (400, r#"{"remediation": "git pull\n", "detail": "stale"}"#),
            (409, r#"{"stored_sha256": "ab"}"#),
            (400, r#"{"type": "urn:cis490:error:of-a-later-version", "error": "of-a-later-version"}"#),
        ];
        for (status, body) in ours {
            assert!(answer(status, body).problem().is_some(), "{status} {body}");
        }
        let others = [
            (400, ""),
            (400, "{}"),
            (400, "[]"),
            (400, r#"{"error": "Bad Request", "message": "no", "statusCode": 400}"#),
            (400, r#"{"error": "conflict"}"#),
            (409, r#"{"error": "too-large"}"#),
            (422, r#"{"detail": [{"loc": ["body"], "msg": "field required"}]}"#),
            (412, r#"{"error": "commit-not-in-window""#),
            (412, r#"{"error": "commit-not-in-window"} {}"#),
            (412, r#"{"error": 5}"#),
            (413, "<html><head><title>413 Request Entity Too Large</title></head></html>"),
        ];
        for (status, body) in others {
            assert_eq!(answer(status, body).problem(), None, "{status} {body}");
        }
        for body in [Body::Cut, Body::TooLong] {
            assert_eq!(Answer { status: 412, body, ..Answer::default() }.problem(), None);
        }
    }

    #[test]
    fn a_proxy_that_answers_for_the_receiver_is_named() {
        let said = |status, server: &str, body: &str| {
            Answer { server: Some(server.to_owned()), ..answer(status, body) }.of_proxy()
        };
        let page =
            "<html><head><title>502 Bad Gateway</title></head><hr><center>nginx/1.22.1</center></html>";
        let nginx = Some("nginx answered 502: it cannot reach the receiver behind it".to_owned());
        assert_eq!((said(502, "nginx/1.22.1", ""), said(502, "", page)), (nginx.clone(), nginx));
        assert_eq!(
            said(502, "Caddy", "").unwrap(),
            "Caddy answered 502: it cannot reach the receiver behind it"
        );
        assert!(said(504, "", "<html>").unwrap().starts_with("a proxy answered 504: the receiver behind it"));
        assert!(said(503, "nginx", page).is_some());
        for (status, server, body) in [
            (503, "", ""),
            (503, "nginx", r#"{"error": "busy", "detail": "64 uploads"}"#),
            (502, "", r#"{"message": "no"}"#),
            (500, "nginx", page),
            (401, "nginx", page),
        ] {
            assert_eq!(said(status, server, body), None, "{status} {server} {body}");
        }
    }

    #[test]
    fn a_person_is_told_what_answered() {
        let cases = [
            ("", "an empty body"),
            ("{}", "an empty JSON object"),
            (r#"{"status": "UP", "groups": []}"#, "a JSON object with `groups`, `status`"),
            ("[1]", "JSON that is no object"),
            ("OK\n", "the text `OK`"),
            ("<HTML><Title>\nSign in to Caf\u{e9} </TITLE>", "a web page titled `Sign in to Caf\u{e9}`"),
            ("<!DOCTYPE html><p>", "a web page without a title"),
            ("\u{1b}[2J", "the text `\\u{1b}[2J`"),
        ];
        for (body, told) in cases {
            assert_eq!(answer(200, body).looks_like(), told);
        }
        let binary = Answer { body: Body::Whole(vec![0xff, 0]), ..Answer::default() };
        assert_eq!(binary.looks_like(), "2 bytes that are no text");
        let redirect = Answer {
            location: Some("https://portal/\r\n".to_owned()),
            server: Some("nginx".to_owned()),
            ..answer(302, "<html>")
        };
        let told = "a redirect to `https://portal/\\r\\n`, which is not followed, from `nginx`";
        assert_eq!(redirect.looks_like(), told);
    }
}
