//! Reads the name and the expiry of a certificate. It verifies nothing: rustls does.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::ids::HostId;

/// The name and the expiry of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The host or person that it names; `None` if it names nobody, or several.
    pub name: Option<HostId>,
    /// The end of its validity.
    pub expires: SystemTime,
}

impl CertificateInfo {
    /// Reads both; `None` if the bytes are not a certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        Some(Self { name: name_in(&parsed), expires })
    }
}

/// Returns the only alternative name (SAN) that is a host id, or the common name if no SAN is one.
///
/// Returns `None` if there are different ids, because the identity must not be a guess. Names with dots, such as the
/// host's address in the overlay, are not ids and are ignored.
fn name_in(certificate: &X509Certificate<'_>) -> Option<HostId> {
    let alternatives = certificate.subject_alternative_name().ok()?;
    let ids =
        alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(text) => HostId::parse(text).ok(),
            _ => None,
        });
    let mut ids: Vec<HostId> = ids.collect();
    if ids.is_empty() {
        let common = certificate.subject().iter_common_name();
        ids.extend(common.filter_map(|name| HostId::parse(name.as_str().ok()?).ok()));
    }
    ids.dedup();
    let id = ids.pop()?;
    ids.is_empty().then_some(id)
}

/// Time before the expiry of a certificate from which a warning is due.
pub const WARN_BEFORE: Duration = Duration::from_hours(14 * 24);

/// Interval between two warnings about the same certificate.
const SAY_EVERY: Duration = Duration::from_hours(24);

/// The time until or since the expiry of a certificate, as text: `ends in 9 days`, `ended 5 hours ago`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    until: Result<Duration, Duration>,
}

impl Remaining {
    /// Computes the time until the expiry, or since it.
    pub fn of(expires: SystemTime, now: SystemTime) -> Self {
        Self { until: expires.duration_since(now).map_err(|over| over.duration()) }
    }

    /// Returns true if the certificate has expired or will expire soon, so that it must be replaced.
    pub fn is_short(self) -> bool {
        self.until.is_ok_and(|left| left < WARN_BEFORE) || self.until.is_err()
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |time: Duration| match time.as_secs() / 3600 {
            hours @ 0..48 => format!("{hours} hours"),
            hours => format!("{} days", hours / 24),
        };
        match self.until {
            Ok(left) => write!(f, "ends in {}", words(left)),
            Err(over) => write!(f, "ended {} ago", words(over)),
        }
    }
}

/// The schedule of expiry warnings: one a day, and one at once for another certificate.
#[derive(Debug, Default)]
pub struct ExpiryReminder {
    said: Option<(SystemTime, SystemTime)>,
}

impl ExpiryReminder {
    /// Returns the warning that is due now; `None` if there is none.
    pub fn due(&mut self, expires: SystemTime, now: SystemTime) -> Option<Remaining> {
        let remaining = Remaining::of(expires, now);
        let is_news = self.said.is_none_or(|(of, at)| {
            // If the clock was set back, a warning is due at once.
            of != expires || now.duration_since(at).map_or(true, |since| since >= SAY_EVERY)
        });
        (remaining.is_short() && is_news).then(|| {
            self.said = Some((expires, now));
            remaining
        })
    }
}

/// Returns the remedy for a certificate that the TLS library rejects, by the library's message, which names neither the
/// side nor a remedy. `None` if the problem is another one.
pub fn remedy(complaint: &str) -> Option<&'static str> {
    const VERSION: &str = "it is of X.509 version 1: make it anew with an extension, such as a subjectAltName, which makes it version 3";
    const AUTHORITY: &str = "it is the certificate of an authority, which can only sign others: make one for this end, signed by it";
    const PURPOSE: &str = "its extendedKeyUsage is for another purpose: make it anew for both serverAuth and clientAuth, or without one";
    let told =
        [("UnsupportedCertVersion", VERSION), ("CaUsedAsEndEntity", AUTHORITY), ("InvalidPurpose", PURPOSE)];
    told.into_iter().find(|(name, _)| complaint.contains(name)).map(|(_, remedy)| remedy)
}

/// Describes the fault of our own certificate, which the TLS library reports as a peer's.
pub fn own_fault(complaint: &str) -> &str {
    let reason = complaint.strip_prefix("invalid peer certificate: ").unwrap_or(complaint);
    remedy(complaint).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn facts(alternatives: &[&str], common: &[&str]) -> CertificateInfo {
        let names: Vec<String> = alternatives.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        CertificateInfo::read(certificate.der()).unwrap()
    }

    #[test]
    fn a_certificate_names_one_host_or_nobody() {
        for (alternatives, common, name) in [
            (["lab-1"].as_slice(), [].as_slice(), Some("lab-1")),
            (&["lab-1"], &["other"], Some("lab-1")),
            (&["lab-1", "lab-1.wg", "10.0.0.1"], &[], Some("lab-1")),
            (&["lab-1.wg"], &["lab-1"], Some("lab-1")),
            (&[], &["lab-1"], Some("lab-1")),
            (&["lab-1", "lab-2"], &["lab-1"], None),
            (&[], &[], None),
            (&[], &["lab 1"], None),
            (&[], &["../lab-1"], None),
            (&["lab-1.wg"], &["Lab Host Authority"], None),
        ] {
            let found = facts(alternatives, common).name;
            assert_eq!(found.as_ref().map(HostId::as_str), name, "{alternatives:?} {common:?}");
        }
    }

    #[test]
    fn its_last_moment_is_that_of_its_validity() {
        // `date -u -d 2031-02-03 +%s`, in days.
        let expected = SystemTime::UNIX_EPOCH + Duration::from_hours(22_313 * 24);
        assert_eq!(facts(&["lab-1"], &[]).expires, expected);
        assert_eq!(CertificateInfo::read(&CertificateDer::from(vec![0x30, 0x01, 0x00])), None);
    }

    #[test]
    fn the_end_is_announced_once_a_day_from_two_weeks_before() {
        let hours = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        let (mut reminder, end) = (ExpiryReminder::default(), hours(1000));
        let mut said = |now, end| reminder.due(end, hours(now)).map(|left| left.to_string());
        assert_eq!(said(1000 - 14 * 24, end), None);
        assert_eq!(said(1001 - 14 * 24, end).as_deref(), Some("ends in 13 days"));
        assert_eq!(said(1024 - 14 * 24, end), None);
        assert_eq!(said(1025 - 14 * 24, end).as_deref(), Some("ends in 12 days"));
        assert_eq!(said(1026 - 14 * 24, hours(900)).as_deref(), Some("ends in 8 days"));
        assert_eq!(said(1100, end).as_deref(), Some("ended 4 days ago"));
        assert_eq!(said(990, end).as_deref(), Some("ends in 10 hours"));
    }
}
