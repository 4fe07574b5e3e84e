//! Authorities, certificates and clients that speak TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Answer, Connection, Request, tcp};

/// An authority that issues certificates.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

/// A certificate with its key.
pub struct Identity {
    pub certificate: Certificate,
    pub key: KeyPair,
}

/// The years on whose first days the validity of a certificate begins and ends.
pub type Years = (i32, i32);

/// Long enough for every test.
pub const GOOD: Years = (2020, 2090);

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, certificate }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Issues a certificate with these alternative names and this common name.
    pub fn issue(&self, alternatives: &[&str], common: &str, years: Years) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = alternatives.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.serial_number = Some(serial_of(&key));
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Identity { certificate, key }
    }

    /// Returns the list that revokes one of the authority's certificates, as PEM.
    pub fn revoke(&self, revoked: &Identity) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial_of(&revoked.key),
                revocation_time: date_time_ymd(2021, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().pem().unwrap()
    }
}

/// Returns the serial number for the certificate of a key. Each key has its own, because otherwise revoking one
/// certificate would revoke another.
fn serial_of(key: &KeyPair) -> SerialNumber {
    let bytes = key.public_key_raw()[1..9].try_into().unwrap();
    SerialNumber::from(u64::from_be_bytes(bytes))
}

/// The files of a receiver that speaks TLS, outside of its own directory.
pub struct TlsFiles(tempfile::TempDir);

impl TlsFiles {
    /// Creates the files for a receiver with this certificate.
    pub fn new(server: &Identity) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put("cert.pem", &server.certificate.pem());
        files.put("key.pem", &server.key.serialize_pem());
        files
    }

    /// Puts a file in place in one step, as a maintainer would.
    pub fn put(&self, name: &str, text: &str) {
        let temp = self.path("new");
        std::fs::write(&temp, text).unwrap();
        #[expect(clippy::disallowed_methods, reason = "nothing here need survive")]
        std::fs::rename(temp, self.path(name)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the lines of `[server]` for these files.
    pub fn server(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!("tls = {{ cert_file = \"{}\", key_file = \"{}\" }}\n", path("cert.pem"), path("key.pem"))
    }
}

/// Returns the line of `[auth]` that names a file.
pub fn line(key: &str, path: &Path) -> String {
    format!("{key} = \"{}\"\n", path.display())
}

/// A client that trusts one authority, and may have a certificate.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn new(trusts: &Authority, identity: Option<&Identity>) -> Self {
        Self::speaking(rustls::DEFAULT_VERSIONS, trusts, identity)
    }

    /// Creates a client of certain versions of TLS. It resumes earlier sessions if the server permits.
    pub fn speaking(
        versions: &[&'static rustls::SupportedProtocolVersion],
        trusts: &Authority,
        identity: Option<&Identity>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusts.der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        Self(Arc::new(config))
    }

    pub fn connect(&self, address: SocketAddr) -> Connection<StreamOwned<ClientConnection, TcpStream>> {
        let name = "127.0.0.1".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        Connection::over(StreamOwned::new(connection, tcp(address)))
    }

    /// Sends one request on a new connection.
    pub fn ask(&self, address: SocketAddr, request: &Request) -> std::io::Result<Answer> {
        self.connect(address).ask(request)
    }
}
