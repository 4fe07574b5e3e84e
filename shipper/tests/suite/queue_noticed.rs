//! QueueActor, by messages: notices between two passes. The clock is paused as in `queue.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use actix::Addr;
use cis490_shipper::actors::queue::{Missed, Noticed, Observe, QueueActor, Scan};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::support::host::{COMMIT, Host, id};
use crate::support::queues::{host_with, notes, paused, queue, scan, start};
use crate::support::scripted::{Scripted, shipped};

const HOUR: Duration = Duration::from_hours(1);

async fn notice(queue: &Addr<QueueActor>, name: &str) {
    queue.send(Noticed { episode_id: id(name) }).await.unwrap();
}

/// Waits until nothing is under way, without a pass.
async fn settled(queue: &Addr<QueueActor>) {
    while {
        let seen = queue.send(Observe).await.unwrap();
        seen.status.backlog.in_flight > 0 || seen.status.backlog.ready > 0
    } {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_episode_that_is_noticed_is_shipped_without_a_pass_and_once() {
    paused(async {
        let host = Host::new();
        let (release, wait) = oneshot::channel::<()>();
        let (tried, mut wait) = (Rc::new(Cell::new(0)), Some(wait));
        let in_script = Rc::clone(&tried);
        // The upload lasts until both notices have come. A later one would name an episode that is gone.
        let uploader = Scripted::start_async(move |_| {
            in_script.set(in_script.get() + 1);
            let wait = wait.take();
            async move {
                if let Some(wait) = wait {
                    wait.await.unwrap();
                }
                shipped()
            }
        });
        let queue = queue(&host, vec![uploader]);
        scan(&queue).await;
        host.record("e1", Some(COMMIT));
        notice(&queue, "e1").await;
        notice(&queue, "e1").await;
        release.send(()).unwrap();
        settled(&queue).await;
        assert_eq!((host.names("shipped"), tried.get()), (vec!["e1".to_owned()], 1));
        assert_eq!(queue.send(Observe).await.unwrap().passes, 1, "no pass has found it");
    });
}

#[test]
fn an_episode_that_is_noticed_during_a_pass_is_not_forgotten_by_what_the_pass_finds() {
    paused(async {
        let host = Host::new();
        let (tried, uploader) = notes(|_| shipped());
        let queue = queue(&host, vec![uploader]);
        let pass = queue.send(Scan);
        // Its directory does not exist, so no scan can find it.
        notice(&queue, "late").await;
        assert_eq!(queue.send(Observe).await.unwrap().passes, 0, "the pass is under way");
        pass.await.unwrap().unwrap();
        assert_eq!(*tried.borrow(), ["late"]);
    });
}

#[test]
fn oldest_first_holds_where_a_scan_left_episodes_out() {
    paused(async {
        let host = host_with(1500);
        let (release, wait) = oneshot::channel();
        let (tried, mut wait) = (Rc::new(RefCell::new(Vec::new())), Some(wait));
        let in_script = Rc::clone(&tried);
        let uploader = Scripted::start_async(move |ship| {
            in_script.borrow_mut().push(ship.episode_id.to_string());
            let wait = wait.take();
            async {
                if let Some(wait) = wait {
                    wait.await.unwrap();
                }
                shipped()
            }
        });
        let queue = queue(&host, vec![uploader]);
        let all = queue.send(Scan);
        while queue.send(Observe).await.unwrap().status.backlog.in_flight == 0 {
            tokio::task::yield_now().await;
        }
        // The newest of all, beyond the limit of one scan.
        notice(&queue, "e999").await;
        notice(&queue, "e1499").await;
        release.send(()).unwrap();
        all.await.unwrap().unwrap();
        let tried = tried.borrow().clone();
        assert_eq!(tried.len(), 1500, "each is shipped once");
        assert!(tried.is_sorted(), "in their order");
    });
}

#[test]
fn what_may_have_been_missed_has_a_pass_made() {
    paused(async {
        let host = Host::new();
        let (tried, uploader) = notes(|_| shipped());
        let queue = start(&host, Some(HOUR), vec![uploader]);
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        host.record("e1", Some(COMMIT));
        queue.send(Missed).await.unwrap();
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        let passes = queue.send(Observe).await.unwrap().passes;
        assert_eq!((tried.borrow().len(), passes), (1, 2));
    });
}
