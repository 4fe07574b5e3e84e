//! The user that the units of both programs name, and work done with that user's rights.

use std::fs;
use std::io;
use std::thread;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The name in the units.
pub const SERVICE_USER: &str = "cis490";

/// The user of this process, and the user of the service.
#[derive(Debug)]
pub struct Users {
    /// The user of this process.
    pub uid: u32,
    /// Its name; `None` if it has none.
    pub name: Option<String>,
    service: Option<Account>,
    is_the_units: bool,
}

/// The ids of the service's user.
#[derive(Debug)]
struct Account {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Users {
    /// Asks the kernel, `/etc/passwd` and `/etc/group`. The packages make the user, so it is in these files.
    ///
    /// `is_the_units` is true if the configuration is the one that the unit names. Another one is not the service's, so
    /// [`Users::as_service`] keeps the rights of this process.
    pub fn now(is_the_units: bool) -> Self {
        // Without the files no user has a name.
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let users = Self::of(geteuid().as_raw(), &read("/etc/passwd"), &read("/etc/group"));
        Self { is_the_units, ..users }
    }

    fn of(uid: u32, passwd: &str, group: &str) -> Self {
        let users = || {
            passwd.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                Some((*fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
            })
        };
        let service = users().find(|(name, ..)| *name == SERVICE_USER).map(|(_, uid, gid)| {
            let groups = group.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let is_member = fields.get(3)?.split(',').any(|member| member == SERVICE_USER);
                fields.get(2)?.parse().ok().filter(|_| is_member)
            });
            Account { uid, gid, groups: groups.chain([gid]).collect() }
        });
        let name = users().find(|(_, other, _): &(&str, u32, u32)| *other == uid);
        Self { uid, name: name.map(|(name, ..)| name.to_owned()), service, is_the_units: true }
    }

    /// Returns true if there is a user for the service.
    pub const fn has_service(&self) -> bool {
        self.service.is_some()
    }

    /// Returns true if this process runs as the service's user.
    pub fn is_the_services(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.uid == self.uid)
    }

    /// Returns true if [`Users::as_service`] works with the rights of the service's user.
    pub const fn can_act_as_service(&self) -> bool {
        self.uid == 0 && self.service.is_some() && self.is_the_units
    }

    /// Does some work with the rights of the service's user if this process can, or else with its own. Blocks.
    ///
    /// The ids of one thread are changed, so all system calls of the work must be made by the thread that runs it.
    pub fn as_service<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Some(service) = self.service.as_ref().filter(|_| self.can_act_as_service()) else {
            return Ok(work());
        };
        let done = thread::scope(|scope| {
            let thread = thread::Builder::new().name("as-service".to_owned());
            let thread = thread.spawn_scoped(scope, || -> io::Result<T> {
                let denied =
                    |error| io::Error::other(format!("cannot take the rights of {SERVICE_USER}: {error}"));
                service.become_it().map_err(denied)?;
                Ok(work())
            });
            thread.map(thread::ScopedJoinHandle::join)
        })?;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Account {
    /// Gives the calling thread the rights of this user, for good.
    fn become_it(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{Access, access};

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ncis490:x:998:997::/:/usr/sbin/nologin\n";
    const GROUP: &str = "adm:x:4:syslog,cis490\ncis490:x:997:\nnot:x:5:xcis490\n";

    #[test]
    fn a_person_is_told_from_the_service() {
        let users = Users::of(998, PASSWD, GROUP);
        assert!(users.is_the_services() && !users.can_act_as_service());
        assert_eq!(users.service.unwrap().groups, [4, 997]);
        let root = Users::of(0, PASSWD, GROUP);
        assert!(root.can_act_as_service() && !root.is_the_services() && root.name.as_deref() == Some("root"));
        let nobody = Users::of(0, "", "");
        assert!(!nobody.has_service() && !nobody.can_act_as_service() && nobody.name.is_none());
    }

    #[test]
    fn root_acts_with_the_rights_of_the_service_in_one_thread_alone() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let may_write = || access(dir.path(), Access::WRITE_OK).is_ok();
        assert!(!Users::of(0, PASSWD, GROUP).as_service(may_write).unwrap());
        assert!(Users::of(0, "", "").as_service(may_write).unwrap());
        assert!(may_write() && geteuid().is_root());
    }
}
