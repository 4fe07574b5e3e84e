//! The rate limit at an UploadActor, against a scripted receiver: the duration of an upload, and waits that are no
//! stall.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::Actor;
use cis490_shipper::actors::upload::UploadActor;
use cis490_shipper::answers::outcome::{Outcome, Scope, Shipped};
use cis490_shipper::config::rate_limit::RateLimit;
use cis490_shipper::upload::deadlines::Deadlines;
use cis490_shipper::upload::pace::Pace;
use jiff::civil::{DateTime, date};

use crate::support::host::Host;
use crate::support::receiver::{Receiver, stores_everything};
use crate::support::uploads::{SHORT, on_put, one_episode, send, settings_at};

fn hour(hour: i8) -> DateTime {
    date(2026, 11, 2).at(hour, 0, 0, 0)
}

fn pace(entry: &str, local_time: impl Fn() -> DateTime + Send + Sync + 'static) -> Pace {
    Pace::new(RateLimit::parse(&[entry]).unwrap(), local_time)
}

/// Ships the only episode at this pace and with this stall timeout. Returns the outcome, the duration, and the bytes
/// that the meter counted.
async fn ship_at(host: &Host, receiver: &Receiver, pace: Pace, stall: Duration) -> (Outcome, Duration, u64) {
    let deadlines = Deadlines { stall, ..Deadlines::default() };
    let (mut settings, _lock) = settings_at(host, &receiver.url(), deadlines);
    settings.pace = pace;
    let meter = settings.meter.clone();
    let uploader = UploadActor::new(settings).start();
    let begin = Instant::now();
    let outcome = send(&uploader, "e1").await;
    assert_eq!(meter.under_way(), []);
    (outcome, begin.elapsed(), meter.sent_bytes())
}

#[actix::test]
async fn an_upload_takes_what_the_limit_asks_for_and_waiting_for_it_is_no_stall() {
    let host = one_episode();
    host.add_capture("e1", 12 * 1024);
    let receiver = Receiver::start(stores_everything);
    // One part goes every two seconds, and the stall timeout is shorter than that.
    let stall = Duration::from_millis(1500);
    let (outcome, took, sent) = ship_at(&host, &receiver, pace("4KiB/s", || hour(0)), stall).await;
    let Outcome::Stored(Shipped { size_bytes, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(sent, size_bytes);
    let least = Duration::from_millis((size_bytes - 8 * 1024) * 1000 / (4 * 1024));
    assert!(took > stall && took >= least, "{took:?}, not {least:?}");
}

#[actix::test]
async fn another_hour_counts_for_an_upload_that_is_under_way() {
    let host = one_episode();
    host.add_capture("e1", 2 << 20);
    let receiver = Receiver::start(stores_everything);
    // The third read of the clock returns six in the evening.
    let times_read = AtomicUsize::new(0);
    let local_time = move || if times_read.fetch_add(1, Ordering::SeqCst) < 2 { hour(12) } else { hour(18) };
    let pace = pace("08:00-18:00 16KiB/s", local_time);
    let (outcome, took, _) = ship_at(&host, &receiver, pace, Deadlines::default().stall).await;
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    // At the rate of the day it would take two minutes.
    assert!(took > Duration::from_secs(1) && took < Duration::from_mins(1), "{took:?}");
}

#[actix::test]
async fn a_receiver_that_takes_no_more_is_given_up_at_any_pace() {
    let host = one_episode();
    // More than the socket buffers of both sides.
    host.add_capture("e1", 24 << 20);
    let receiver = on_put(|_, conn| {
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.leave_unread();
    });
    let (outcome, _, sent) = ship_at(&host, &receiver, pace("200MiB/s", || hour(0)), SHORT).await;
    let Outcome::Transient { scope: Scope::Episode, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("the receiver took no more of the body for 0.3 s"), "{reason}");
    // Bytes that the kernel takes in advance are no progress on a slow link, and the next sign of progress would be
    // late.
    assert!(sent < 1 << 20, "{sent} bytes were handed over to nobody");
}
