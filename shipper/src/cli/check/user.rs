//! The user of the check, in words.

use cis490_shared::service_user::{SERVICE_USER, Users};

/// Describes the user of this process, and whose rights the check is about.
pub(super) fn described(users: &Users) -> String {
    let user = match &users.name {
        Some(name) => format!("{name} (uid {})", users.uid),
        None => format!("uid {}", users.uid),
    };
    if users.is_the_services() {
        format!("{user}, as the service")
    } else if users.can_act_as_service() {
        format!(
            "{user}; the directories are checked with the rights of {SERVICE_USER}, as which the service runs"
        )
    } else if users.has_service() {
        format!(
            "{user}; the service runs as {SERVICE_USER}; to check with its rights: sudo cis490-shipper --check-config"
        )
    } else {
        format!("{user}; this host has no user {SERVICE_USER}, as which the service runs")
    }
}
