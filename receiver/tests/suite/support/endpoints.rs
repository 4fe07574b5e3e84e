//! All endpoints, and their answers to each kind of sender.

use super::{Request, TestReceiver};

/// Returns a request to every endpoint, as two hosts would send them: the first column of the table below.
pub fn all(receiver: &TestReceiver) -> Vec<(&'static str, Request)> {
    let report = |host: &str| Request::new("PUT", &format!("/v1/host-health/{host}")).body(b"{}");
    vec![
        ("PUT own", receiver.put("lab-1", "E1", b"body")),
        ("PUT other's", receiver.put("lab-2", "E1", b"body")),
        ("HEAD own", Request::new("HEAD", "/v1/episodes/lab-1/E1.tar.zst")),
        ("HEAD other's", Request::new("HEAD", "/v1/episodes/lab-2/E1.tar.zst")),
        ("report own", report("lab-1")),
        ("report other's", report("lab-2")),
        ("ping", Request::new("POST", "/v1/ping").body(b"")),
        ("ping as other", Request::new("POST", "/v1/ping").header("x-lab-host", "lab-2").body(b"")),
        ("gate", Request::new("GET", "/v1/gate")),
        ("gate of commit", Request::new("GET", &format!("/v1/gate/{}", receiver.head))),
        ("reports", Request::new("GET", "/v1/host-health")),
        ("health", Request::new("GET", "/v1/health")),
        ("unknown path", Request::new("GET", "/v1/secret")),
    ]
}

/// Returns the status of every endpoint, in the order of [`all`].
pub fn statuses(receiver: &TestReceiver, ask: impl Fn(&Request) -> u16) -> Vec<u16> {
    all(receiver).iter().map(|(_, request)| ask(request)).collect()
}

/// In the order of [`all`]. A host finds the episode that it has stored; no host has stored the other one.
pub const HOST: [u16; 13] = [201, 403, 200, 403, 200, 403, 200, 403, 200, 200, 403, 200, 404];
pub const AGAIN: [u16; 13] = [200, 403, 200, 403, 200, 403, 200, 403, 200, 200, 403, 200, 404];
pub const READER: [u16; 13] = [403, 403, 200, 404, 403, 403, 200, 200, 200, 200, 200, 200, 404];
pub const NOBODY: [u16; 13] = [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 401];
pub const OTHER: [u16; 13] = [403, 201, 403, 200, 403, 200, 200, 200, 200, 200, 403, 200, 404];
/// The client is rejected before it can send a request.
pub const UNHEARD: [u16; 13] = [0; 13];
