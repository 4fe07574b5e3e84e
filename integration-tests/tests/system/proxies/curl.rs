//! Runs curl through a proxy, and reports how the request went.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cis490_shared::ids::CommitHash;
use integration_tests::certificates::{Authority, Certificate};
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;

/// A curl command that a test can extend.
pub(crate) struct Curl<'a> {
    sandbox: &'a Sandbox,
    command: Command,
}

/// A running curl.
pub(crate) struct Running {
    process: Process,
    answer: PathBuf,
    heads: PathBuf,
}

/// The answer that curl saw, and the number of bytes that it sent.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The status code; 0 if there was no answer.
    pub(crate) status: u16,
    /// True if `100 Continue` came before the answer.
    pub(crate) was_asked: bool,
    /// The number of bytes of the body that were sent.
    pub(crate) sent: u64,
    /// The version of HTTP.
    pub(crate) version: String,
    /// The answer as JSON; null if it was not JSON.
    pub(crate) body: serde_json::Value,
}

impl Seen {
    /// Returns the status and the `error` member.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

impl<'a> Curl<'a> {
    /// Creates a request for a URL, which offers HTTP/2 over TLS.
    pub(crate) fn new(sandbox: &'a Sandbox, url: &str) -> Self {
        let mut command = sandbox.command("curl");
        command.args(["--silent", "--show-error", "--http2", "--max-time", "60"]).arg(url);
        Self { sandbox, command }
    }

    /// Creates a PUT of a file that expects 100-continue, and waits up to 60 s for it.
    pub(crate) fn put(
        sandbox: &'a Sandbox,
        url: &str,
        (host, episode): (&str, &str),
        commit: &CommitHash,
        (file, sha256): (&Path, &str),
    ) -> Self {
        let mut curl = Self::new(sandbox, &format!("{url}/v1/episodes/{host}/{episode}.tar.zst"));
        curl.command.arg("--upload-file").arg(file);
        curl.with(&["--expect100-timeout", "60"])
            .header("Expect: 100-continue")
            .header(&format!("X-Content-SHA256: {sha256}"))
            .header(&format!("X-Cis490-Code-Commit: {commit}"))
    }

    /// Adds a header. A header without a value removes one that curl would send by itself.
    pub(crate) fn header(self, header: &str) -> Self {
        self.with(&["--header", header])
    }

    /// Verifies the server with an authority, and shows it a certificate if there is one.
    pub(crate) fn shows(mut self, authority: &Authority, certificate: Option<&Certificate>) -> Self {
        self.command.arg("--cacert").arg(authority.ca());
        if let Some(Certificate { cert, key }) = certificate {
            self.command.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        self
    }

    /// Adds any other arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs curl to its end.
    pub(crate) fn run(self) -> Seen {
        self.start().seen()
    }

    /// Starts curl.
    pub(crate) fn start(mut self) -> Running {
        let (answer, heads) = (self.sandbox.free("answer", ""), self.sandbox.free("heads", ""));
        self.command.arg("--output").arg(&answer).arg("--dump-header").arg(&heads);
        self.command.args(["--write-out", "\n%{http_code} %{size_upload} %{http_version}"]);
        Running { process: Process::start(self.sandbox, "curl", self.command), answer, heads }
    }
}

impl Running {
    /// Waits for its end. A connection that the server closes is a result like any other.
    pub(crate) fn seen(mut self) -> Seen {
        self.process.wait();
        let log = self.process.log();
        let line = log.lines().last().unwrap_or_default();
        let &[status, sent, version] = line.split(' ').collect::<Vec<_>>().as_slice() else {
            panic!("curl did not get as far as a request:\n{log}");
        };
        let heads = fs::read_to_string(self.heads).unwrap_or_default();
        Seen {
            status: status.parse().unwrap(),
            was_asked: heads.contains(" 100 Continue"),
            sent: sent.parse().unwrap(),
            version: version.to_owned(),
            body: fs::read(self.answer)
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
                .unwrap_or_default(),
        }
    }
}
