//! The status in one line, as `systemctl status` shows it.
//!
//! Pure. Whoever wants to know more finds the command in it, where there is more to know.

use std::time::SystemTime;

use crate::status::{Life, State, Status, problem, words};

/// For example `shipping: 12 ready, 2 under way at 3.1 MB/s, 1 refused commit (31 episodes) - see cis490-shipper status`.
pub fn line(status: &Status, now: SystemTime) -> String {
    let backlog = &status.backlog;
    let mut parts = Vec::new();
    let mut count = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    count(backlog.ready, "ready");
    count(backlog.waiting, "to be tried again");
    count(backlog.in_flight, "under way");
    if let (Some(last), bytes_per_s @ 1..) = (parts.last_mut(), status.rate.last_minute.bytes_per_s)
        && backlog.in_flight > 0
    {
        *last = format!("{last} at {}/s", words::bytes(bytes_per_s));
    }
    if parts.is_empty() {
        parts.push(format!("{} shipped since the start", words::episodes(status.shipped)));
    }
    let problem = problem::first(status, Life::Running, now);
    parts.extend(problem.iter().map(|problem| problem.short.clone()));
    let more = if problem.is_some() { " - see cis490-shipper status" } else { "" };
    format!("{}: {}{more}", state(status.state), parts.join(", "))
}

/// The state in a word.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Shipping => "shipping",
        State::Idle => "idle",
        State::Waiting => "waiting",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Unknown => "in a state of a later version",
    }
}
