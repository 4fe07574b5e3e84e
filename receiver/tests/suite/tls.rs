//! TLS and certificates over real sockets: which clients are let in, as which host, and for how long.

use std::time::{Duration, Instant};

use crate::support::endpoints::{self, HOST, NOBODY, OTHER, READER, UNHEARD};
use crate::support::tls::{Authority, Client, GOOD, Identity, TlsFiles, line};
use crate::support::{Request, TestReceiver};
use cis490_receiver::auth::file;
use cis490_receiver::auth::tokens::Token;
use cis490_shared::ids::HostId;

/// A lab with its authority, which has issued the receiver's certificate.
struct Lab {
    authority: Authority,
    files: TlsFiles,
}

impl Lab {
    fn new() -> Self {
        let authority = Authority::new("lab authority");
        let files = TlsFiles::new(&authority.issue(&["127.0.0.1"], "collector", GOOD));
        files.put("clients.pem", &authority.pem());
        Self { authority, files }
    }

    fn host(&self, name: &str) -> Identity {
        self.authority.issue(&[name], "a lab host", GOOD)
    }

    /// A client of the lab.
    fn client(&self, name: &str) -> Client {
        Client::new(&self.authority, Some(&self.host(name)))
    }

    /// A receiver that accepts certificates of the lab.
    fn receiver(&self, more: &str) -> TestReceiver {
        let clients = line("client_ca_file", &self.files.path("clients.pem"));
        TestReceiver::start_with(&self.files.server(), &format!("[auth]\n{clients}{more}"))
    }

    /// Returns a line of `[auth]` for tokens, and the header that lets `lab-1` in.
    fn tokens(&self) -> (String, String) {
        let (path, token) = (self.files.path("tokens"), Token::of([1; 32]));
        file::add(&path, &HostId::parse("lab-1").unwrap(), &token, "2025-10-09".parse().unwrap()).unwrap();
        (line("tokens_file", &path), format!("Bearer {}", token.expose()))
    }
}

/// Returns the status of every endpoint for a client; 0 if the client cannot send a request at all.
fn statuses(receiver: &TestReceiver, client: &Client, headers: &[(&str, &str)]) -> Vec<u16> {
    endpoints::statuses(receiver, |request| {
        let with = headers.iter().fold(request.clone(), |request, (name, value)| request.header(name, value));
        client.ask(receiver.address, &with).map_or(0, |answer| answer.status)
    })
}

/// Waits until a request gets this status; 0 stands for no answer.
fn comes_to(expected: u16, what: &str, ask: impl Fn() -> u16) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let status = ask();
        if status == expected {
            return;
        }
        assert!(Instant::now() < end, "{what}: it is {status} and not {expected}");
    }
}

fn ping() -> Request {
    Request::new("POST", "/v1/ping").body(b"")
}

#[test]
fn a_certificate_lets_its_host_act_for_itself_alone() {
    let lab = Lab::new();
    let stranger = Authority::new("lab authority");
    let revoked = lab.host("lab-9");
    lab.files.put("revoked.pem", &lab.authority.revoke(&revoked));
    let revocations = line("client_crl_file", &lab.files.path("revoked.pem"));
    let receiver = lab.receiver(&format!("{revocations}readers = [\"alice\"]\n"));
    let by = |identity: &Identity| statuses(&receiver, &Client::new(&lab.authority, Some(identity)), &[]);
    let issue = |names: &[&str], common, years| by(&lab.authority.issue(names, common, years));
    assert_eq!(by(&lab.host("lab-1")), HOST);
    assert_eq!(issue(&["alice"], "x", GOOD), READER);
    assert_eq!(issue(&[], "lab-2", GOOD), OTHER, "by its common name");
    assert_eq!(issue(&["lab-1", "lab-2"], "lab-1", GOOD), NOBODY, "two names");
    assert_eq!(issue(&[], "Lab Host", GOOD), NOBODY, "no name");
    assert_eq!(issue(&["lab-1"], "lab-1", (2020, 2021)), UNHEARD, "expired");
    assert_eq!(issue(&["lab-1"], "lab-1", (2080, 2090)), UNHEARD, "not yet good");
    assert_eq!(by(&revoked), UNHEARD, "revoked");
    assert_eq!(by(&stranger.issue(&["lab-1"], "lab-1", GOOD)), UNHEARD, "of another authority of this name");
    assert_eq!(statuses(&receiver, &Client::new(&lab.authority, None), &[]), UNHEARD, "without one");
    // A client that does not speak TLS gets no answer.
    assert_eq!(
        endpoints::statuses(&receiver, |request| receiver.connect().ask(request).map_or(0, |a| a.status)),
        UNHEARD
    );
    // Other credentials of a client change nothing.
    let (_, token) = lab.tokens();
    let besides = [("authorization", token.as_str()), ("x-client-host", "lab-1")];
    assert_eq!(statuses(&receiver, &lab.client("lab-3"), &besides)[0], 403);
    let rows: Vec<_> = receiver.rows().iter().map(|row| row["host_id"].clone()).collect();
    assert_eq!(rows, ["lab-1", "lab-2"]);
}

#[test]
fn a_token_serves_where_there_is_no_certificate_and_a_certificate_goes_before_it() {
    let lab = Lab::new();
    let (tokens, token) = lab.tokens();
    let proxy = "[auth.proxy]\nheader = \"X-Client-Host\"\nfrom = [\"127.0.0.9\"]\n";
    let receiver = lab.receiver(&format!("{tokens}{proxy}"));
    let nobody = Client::new(&lab.authority, None);
    let with_token = [("authorization", token.as_str())];
    assert_eq!(statuses(&receiver, &nobody, &[]), NOBODY);
    assert_eq!(statuses(&receiver, &nobody, &[("x-client-host", "lab-1")]), NOBODY);
    assert_eq!(statuses(&receiver, &nobody, &with_token), HOST);
    assert_eq!(statuses(&receiver, &lab.client("lab-2"), &with_token), OTHER);
    let stranger = Authority::new("stranger").issue(&["lab-1"], "lab-1", GOOD);
    let stranger = Client::new(&lab.authority, Some(&stranger));
    assert_eq!(statuses(&receiver, &stranger, &with_token), UNHEARD);
}

#[test]
fn without_an_authority_for_clients_tls_hides_tokens_and_nobody_is_asked_for_a_certificate() {
    let lab = Lab::new();
    let (tokens, token) = lab.tokens();
    let receiver = TestReceiver::start_with(&lab.files.server(), &format!("[auth]\n{tokens}"));
    let client = lab.client("lab-2");
    assert_eq!(statuses(&receiver, &client, &[]), NOBODY);
    assert_eq!(statuses(&receiver, &client, &[("authorization", &token)]), HOST);
}

#[test]
fn a_stranger_is_refused_before_he_sends_a_byte_of_a_body() {
    let lab = Lab::new();
    let receiver = lab.receiver("");
    let mut connection = lab.client("lab-2").connect(receiver.address);
    connection.send(&receiver.put("lab-1", "E1", b"body").head(Some("100-continue")));
    let refused = connection.answer(false);
    assert_eq!((refused.status, refused.error()), (403, "host-not-allowed".to_owned()));
    let mut connection = lab.client("lab-1").connect(receiver.address);
    connection.send(&receiver.put("lab-1", "E1", b"body").head(Some("100-continue")));
    assert_eq!(connection.answer(false).status, 100);
    connection.send(b"body");
    assert_eq!(connection.answer(false).status, 201);
}

#[test]
fn an_authority_that_is_taken_away_counts_no_longer_on_any_connection() {
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let lab = Lab::new();
        let receiver = lab.receiver("");
        let old = Client::speaking(versions, &lab.authority, Some(&lab.host("lab-1")));
        // The client has a session that it could resume, and keeps a connection open.
        assert_eq!(old.ask(receiver.address, &ping()).unwrap().status, 200);
        let mut kept = old.connect(receiver.address);
        assert_eq!(kept.ask(&ping()).unwrap().status, 200);
        // It is also in the middle of an upload, which was admitted.
        let mut uploading = old.connect(receiver.address);
        let body = vec![7; 300_000];
        uploading.send(&receiver.put("lab-1", "E1", &body).head(None));
        uploading.send(&body[..100_000]);
        comes_to(1, "an upload in flight", || receiver.partials().try_into().unwrap());

        let next = Authority::new("next authority");
        lab.files.put("clients.pem", &next.pem());
        let new = Client::new(&lab.authority, Some(&next.issue(&["lab-2"], "", GOOD)));
        comes_to(200, "the next authority", || new.ask(receiver.address, &ping()).map_or(0, |a| a.status));
        let refused = kept.ask(&ping()).unwrap();
        assert_eq!((refused.status, refused.error()), (401, "unauthenticated".to_owned()));
        assert_eq!(refused.header("connection"), Some("close"));
        assert!(old.ask(receiver.address, &ping()).is_err(), "a session was taken up");
        assert_eq!(statuses(&receiver, &old, &[]), UNHEARD);
        uploading.send(&body[100_000..]);
        assert_eq!(uploading.answer(false).status, 201);
        assert_eq!(receiver.rows().len(), 1);
    }
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_one_without_its_key_is_not() {
    let lab = Lab::new();
    let receiver = lab.receiver("");
    let next = Authority::new("next authority");
    let trusting = |authority| Client::new(authority, Some(&lab.host("lab-1")));
    let (old, new) = (trusting(&lab.authority), trusting(&next));
    let status = |client: &Client| client.ask(receiver.address, &ping()).map_or(0, |answer| answer.status);
    let mut kept = old.connect(receiver.address);
    assert_eq!(kept.ask(&ping()).unwrap().status, 200);

    let identity = next.issue(&["127.0.0.1"], "collector", GOOD);
    lab.files.put("cert.pem", &identity.certificate.pem());
    // Another file changes while certificate and key do not fit together.
    let third = Authority::new("third authority");
    lab.files.put("clients.pem", &format!("{}{}", lab.authority.pem(), third.pem()));
    assert_eq!(status(&old), 200);
    lab.files.put("key.pem", &identity.key.serialize_pem());
    comes_to(200, "the new certificate", || status(&new));
    assert_eq!(status(&old), 0);
    assert_eq!(kept.ask(&ping()).unwrap().status, 200, "connections that are there go on");
}

#[test]
fn health_says_when_the_certificate_ends() {
    let lab = Lab::new();
    let (tokens, _) = lab.tokens();
    let receiver = TestReceiver::start_with(&lab.files.server(), &format!("[auth]\n{tokens}"));
    let client = Client::new(&lab.authority, None);
    let health = client.ask(receiver.address, &Request::new("GET", "/v1/health")).unwrap().json();
    assert_eq!(health["tls"]["certificate_expires"], "2090-01-01T00:00:00.000000+00:00");
    assert_eq!((&health["tls"]["expires_soon"], &health["status"]), (&false.into(), &"ok".into()));
}
