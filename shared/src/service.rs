//! Notifications to the service manager: READY, STATUS, WATCHDOG, STOPPING. They do nothing without a service manager.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Reports that the service is ready.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports in one line what the service is doing.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Feeds the watchdog. The caller has just had an answer from every part of the service.
pub fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Reports that the service has begun to stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Asks the service manager to wait this much longer, from now on, for the end of the start.
pub fn extend_start(time: Duration) {
    notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))]);
}

/// Returns how long the service manager waits for [`watchdog`] before it ends the service; `None` without a watchdog.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot notify the service manager");
    }
}
