//! The user of the check, and the user of the service.

use std::fmt;
use std::fs;

/// The user in the unit of the shipper.
const SERVICE_USER: &str = "cis490";

/// The user of this process and the user of the service.
#[derive(Debug)]
pub(super) struct User {
    uid: u32,
    name: Option<String>,
    service_uid: Option<u32>,
}

impl User {
    /// Asks the kernel and /etc/passwd.
    pub(super) fn now() -> Self {
        // Without the file no user has a name.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::of(rustix::process::geteuid().as_raw(), &passwd)
    }

    fn of(uid: u32, passwd: &str) -> Self {
        let users = || {
            passwd.lines().filter_map(|line| {
                let mut fields = line.split(':');
                let (name, uid) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
                Some((name, uid))
            })
        };
        let name = users().find(|(_, other)| *other == uid).map(|(name, _)| name.to_owned());
        Self { uid, name, service_uid: users().find(|(name, _)| *name == SERVICE_USER).map(|(_, uid)| uid) }
    }

    /// Returns true if this user is the service's.
    pub(super) fn is_the_services(&self) -> bool {
        self.service_uid == Some(self.uid)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        match self.service_uid {
            Some(uid) if uid == self.uid => f.write_str(", as the service"),
            Some(_) => write!(
                f,
                "; the service runs as {SERVICE_USER}; to check as that user: sudo -u {SERVICE_USER} cis490-shipper \
                 --check-config"
            ),
            None => write!(f, "; this host has no user {SERVICE_USER}, which the service runs as"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_from_the_service() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ncis490:x:998:998::/:/usr/sbin/nologin\n";
        assert_eq!(User::of(998, passwd).to_string(), "cis490 (uid 998), as the service");
        assert!(User::of(998, passwd).is_the_services() && !User::of(0, passwd).is_the_services());
        let told = User::of(0, passwd).to_string();
        assert!(
            told.starts_with("root (uid 0); the service runs as cis490; to check as that user"),
            "{told}"
        );
        assert!(User::of(7, "").to_string().starts_with("uid 7; this host has no user cis490"));
    }
}
