//! The certificate and the token file for the receiver, and who may read the secrets. No secret is printed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cis490_shared::certificate::{CertificateInfo, Remaining};
use cis490_shared::clock::{WallTime, system_time};
use cis490_shared::pem::PemFile;
use rustls_pki_types::CertificateDer;

use crate::config::{Config, Receiver};
use crate::http::target::Target;

/// Returns a line for each file that proves an identity.
pub(super) fn lines(config: &Config, target: &Target) -> Vec<String> {
    let receiver = &config.receiver;
    let mut lines = Vec::new();
    if receiver.url.is_tls() {
        lines.push(match &receiver.ca_file {
            Some(path) => format!("trusts: the authorities in {}", path.display()),
            None => "trusts: the authorities of this system".to_owned(),
        });
    }
    if let Some(path) = &receiver.client_cert_file {
        lines.push(format!("certificate: {}", certificate(path, config, target)));
    }
    if let Some(path) = &receiver.client_key_file {
        lines.push(format!("key: fits the certificate, {}", mode(path)));
    }
    lines.push(match &receiver.token_file {
        Some(path) => format!("token: {}", mode(path)),
        None => "token: none".to_owned(),
    });
    lines
}

fn certificate(path: &Path, config: &Config, target: &Target) -> String {
    let chain = PemFile::open("receiver.client_cert_file", path)
        .and_then(|file| file.all::<CertificateDer<'static>>("certificate"));
    let info = chain.ok().and_then(|chain| CertificateInfo::read(chain.first()?));
    let whose = match info.and_then(|info| info.name) {
        Some(name) if name == config.host_id => format!("of {name}, as `host_id`"),
        Some(name) => format!("of {name}, but `host_id` is {}: the receiver refuses that", config.host_id),
        None => "names no single host, so the receiver refuses it".to_owned(),
    };
    let expires = target.tls.as_ref().and_then(|tls| tls.expires);
    let until = expires.map_or_else(String::new, |expires| {
        let day = WallTime::from(expires).to_string();
        format!(", {} ({})", Remaining::of(expires, system_time()), day.get(..10).unwrap_or_default())
    });
    format!("{whose}{until}")
}

/// Returns a warning for each secret that every user of this host can read.
pub(super) fn warnings(receiver: &Receiver) -> Vec<String> {
    let secrets = [("token_file", &receiver.token_file), ("client_key_file", &receiver.client_key_file)];
    let open = secrets.into_iter().filter_map(|(key, path)| {
        let path = path.as_deref()?;
        let is_open = fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0);
        is_open.then(|| {
            let path = path.display();
            format!("`receiver.{key}` can be read by every user of this host: sudo chmod o-rwx {path}")
        })
    });
    open.collect()
}

fn mode(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(found) => format!("{}, mode {:04o}", path.display(), found.mode() & 0o7777),
        // Unlikely, because it was read a moment ago.
        Err(error) => format!("{}: {error}", path.display()),
    }
}
