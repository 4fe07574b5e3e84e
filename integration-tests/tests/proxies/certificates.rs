//! A private authority, and the certificates that it gives to the proxy and to the lab hosts.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// An authority whose files lie in a directory of their own.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// A new one, with `ca.pem` in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("the lab's authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate for a lab host, whose id is the common name.
    pub(crate) fn host(&self, host: &str) -> Certificate {
        let mut params = named(host, vec![host.to_owned()]);
        params.distinguished_name.push(DnType::OrganizationName, "the lab");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(host, &params)
    }

    /// A certificate for a server of that name.
    pub(crate) fn server(&self, name: &str) -> Certificate {
        let mut params = named(name, vec![name.to_owned()]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, &params)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            cert: written(&self.dir, &format!("{name}.pem"), &cert.pem()),
            key: written(&self.dir, &format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

fn named(common_name: &str, alternative_names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(alternative_names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}
