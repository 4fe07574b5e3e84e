//! What the service manager is told: READY, STATUS, WATCHDOG, STOPPING. Without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The service can do its work from now on.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line on what the service is doing.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Every part of the service has just answered.
pub fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// The service has begun to stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Starting goes on for good reason: the manager is asked to wait this much longer from now.
pub fn extend_start(time: Duration) {
    notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))]);
}

/// How long the manager waits for [`watchdog`] before it ends the service; none without a watchdog.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager could not be told");
    }
}
