//! Heads of requests, as bytes on a connection: an accepted upload names one file in one host's directory, and its path
//! is the path of the head.
#![no_main]

use std::path::{Component, Path};

use actix_codec::Decoder;
use actix_http::ServiceConfig;
use actix_http::h1::{Codec, Message};
use bytes::BytesMut;
use cis490_receiver::auth::proxy::name_in;
use cis490_receiver::auth::rights::need;
use cis490_receiver::http::headers;
use cis490_shared::ids::{CommitHash, EpisodeId, HostId, Sha256Digest};
use cis490_shared::wire::path;
use libfuzzer_sys::fuzz_target;
use tokio::task::LocalSet;

thread_local! {
    /// The service starts a task for its clock, which needs a `LocalSet` and never runs here.
    static SERVICE: ServiceConfig = {
        let tasks = LocalSet::new();
        let _entered = tasks.enter();
        ServiceConfig::default()
    };
}

const MAX_UPLOAD_BYTES: u64 = 1 << 33;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = str::from_utf8(bytes) {
        identifiers(text);
    }
    let mut connection = BytesMut::from(bytes);
    let mut codec = SERVICE.with(|service| Codec::new(service.clone()));
    let Ok(Some(Message::Item(request))) = codec.decode(&mut connection) else { return };
    let head = request.head();
    let raw_path = head.uri.path();
    let _ = need(head.method.as_str(), raw_path);
    for value in head.headers.iter().filter_map(|(_, value)| value.to_str().ok()) {
        name_in(value).iter().for_each(|host| is_one_name(host.as_str()));
    }

    let pair = headers::pair(raw_path).ok();
    if let Some((host, episode)) = &pair {
        assert_eq!(path::episode(host, episode), raw_path, "a path is read as it was sent");
    }
    if let Ok(upload) = headers::upload(head, MAX_UPLOAD_BYTES) {
        is_one_name(upload.host_id.as_str());
        is_one_name(upload.episode_id.as_str());
        assert!((1..=MAX_UPLOAD_BYTES).contains(&upload.length));
        assert_eq!(pair, Some((upload.host_id, upload.episode_id)), "both readers of a path agree");
    }
});

/// Checks the four identifiers with any text.
fn identifiers(text: &str) {
    if let Ok(host) = HostId::parse(text) {
        assert_eq!(host.as_str(), text);
        is_one_name(text);
    }
    assert_eq!(HostId::parse(text).is_ok(), EpisodeId::parse(text).is_ok());
    if let Ok(commit) = CommitHash::parse(text) {
        assert_eq!(commit.as_str(), text.to_ascii_lowercase());
        assert_eq!(CommitHash::parse(commit.as_str()), Ok(commit));
    }
    if let Ok(digest) = Sha256Digest::parse(text) {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
}

/// Checks that a name can be joined to a directory without leaving it, and holds no line break.
fn is_one_name(name: &str) {
    assert!((1..=128).contains(&name.len()), "{name:?}");
    assert!(
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'),
        "{name:?}"
    );
    assert!(name.starts_with(|first: char| first.is_ascii_alphanumeric()), "{name:?}");
    let components: Vec<_> = Path::new(name).components().collect();
    assert!(matches!(components[..], [Component::Normal(_)]), "{name:?}");
}
