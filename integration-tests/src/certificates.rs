//! A private authority, and the certificate files that it issues to collectors, proxies and lab hosts, as in a lab.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// An authority with its files in a directory.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
pub struct Certificate {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Authority {
    /// Creates an authority, with `ca.pem` in `dir`.
    pub fn new(dir: PathBuf) -> Self {
        let key = KeyPair::generate().expect("a certificate");
        let mut params = named("the lab's authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        fs::write(dir.join("ca.pem"), params.self_signed(&key).expect("a certificate").pem())
            .expect("a certificate");
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Returns the path of its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Issues a certificate to a lab host, whose id is the common name.
    pub fn host(&self, host: &str) -> Certificate {
        let mut params = named(host, vec![host.to_owned()]);
        params.distinguished_name.push(DnType::OrganizationName, "the lab");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(host, &params)
    }

    /// Issues a certificate to a server of that name.
    pub fn server(&self, name: &str) -> Certificate {
        let mut params = named(name, vec![name.to_owned()]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, &params)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a certificate");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            cert: written(&self.dir, &format!("{name}.pem"), &cert.pem()),
            key: written(&self.dir, &format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

fn named(common_name: &str, alternative_names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(alternative_names).expect("a certificate");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file in the sandbox");
    path
}
