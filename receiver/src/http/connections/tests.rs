//! Which connections are admitted, which make room, and how long one may wait, on a clock that the tests move.

use super::*;
use crate::auth::proxy::Trusted;

const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

fn connections(in_all: usize, per_peer: usize) -> Connections {
    Connections::new(Bounds { in_all, per_peer, stall: Duration::from_secs(30) })
}

async fn later() {
    tokio::time::advance(Duration::from_secs(1)).await;
}

fn is_wanted(connection: &Connection) -> bool {
    connection.wanted_until().is_some()
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_longest_makes_room_and_whoever_is_served_does_not() {
    let connections = connections(3, 3);
    let served = connections.open(None).unwrap();
    served.begin_request();
    later().await;
    let oldest = connections.open(A).unwrap();
    later().await;
    let younger = connections.open(B).unwrap();
    later().await;
    let new = connections.open(None).unwrap();
    assert_eq!([&served, &oldest, &younger, &new].map(is_wanted), [true, false, true, true]);
    assert_eq!(connections.observe().open, 3);
    oldest.unwanted().await;
    for busy in [&younger, &new] {
        busy.begin_request();
    }
    assert!(connections.open(None).is_none());
    served.end_request(Rest::Between);
    let last = connections.open(None).unwrap();
    assert_eq!([&served, &younger, &new, &last].map(is_wanted), [false, true, true, true]);
    let seen = connections.observe();
    assert_eq!((seen.open, seen.limit, seen.ended_for_room, seen.turned_away), (3, 3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_takes_too_many_makes_room_itself() {
    let connections = connections(10, 2);
    let other = connections.open(B).unwrap();
    later().await;
    let of_many: Vec<_> = (0..5).map(|_| connections.open(None).unwrap()).collect();
    let own = [connections.open(A).unwrap(), connections.open(A).unwrap()];
    own[1].begin_request();
    let third = connections.open(A).unwrap();
    third.begin_request();
    assert_eq!([&own[0], &own[1], &third, &other].map(is_wanted), [false, true, true, true]);
    assert!(of_many.iter().all(is_wanted));
    assert!(connections.open(A).is_none());
    drop(third);
    assert!(connections.open(A).is_some());
    drop((own, other, of_many));
    let state = connections.shared.state();
    assert!(state.open.is_empty() && state.peers.is_empty(), "{state:?}");
}

#[test]
fn a_bound_is_told_when_it_is_reached_and_not_for_each_connection() {
    let mut state = State::default();
    let bounds = Bounds { in_all: 4, per_peer: 2, stall: Duration::from_secs(30) };
    let open = |state: &mut State, peer| {
        let (has_room, reached) = state.make_room(bounds, peer);
        let recheck = Arc::new(Notify::new());
        if has_room {
            state.next += 1;
            if let Some(peer) = peer {
                state.peers.entry(peer).or_default().open += 1;
            }
            let open = Open {
                peer,
                requests: 1,
                untaken: None,
                since: Instant::now(),
                rest: Rest::Between,
                recheck,
            };
            state.open.insert(state.next, open);
        }
        (has_room, reached)
    };
    let address = A.unwrap();
    assert_eq!([open(&mut state, A), open(&mut state, A)], [(true, None); 2]);
    assert_eq!(open(&mut state, A), (false, Some(Reached::OfPeer(address, 2))));
    assert_eq!(open(&mut state, A), (false, None));
    assert_eq!([open(&mut state, B), open(&mut state, None)], [(true, None); 2]);
    assert_eq!(open(&mut state, None), (false, Some(Reached::InAll(4))));
    assert_eq!(open(&mut state, None), (false, None));
    state.close(4);
    assert_eq!([open(&mut state, None), open(&mut state, None)], [(true, None), (false, None)]);
    for id in 2..=4 {
        state.close(id);
    }
    assert_eq!([open(&mut state, None), open(&mut state, None)], [(true, None); 2]);
    assert_eq!(open(&mut state, None), (false, Some(Reached::InAll(4))));
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_that_goes_without_a_request_for_too_long() {
    let connections = connections(1, 1);
    let connection = connections.open(None).unwrap();
    let took = |began: Instant| began.elapsed().as_secs();
    let began = Instant::now();
    connection.begin_request();
    let an_hour = Duration::from_hours(1);
    assert!(tokio::time::timeout(an_hour, connection.unwanted()).await.is_err());
    for (rest, seconds) in [(Rest::Between, 25), (Rest::Lingering, 120), (Rest::GivenUp, 5)] {
        connection.end_request(rest);
        let began = Instant::now();
        connection.unwanted().await;
        assert_eq!(took(began), seconds, "{rest:?}");
        connection.begin_request();
    }
    assert!(took(began) > 3600);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_given_up_is_not_waited_for_as_long_as_one_that_is_served() {
    let connections = connections(1, 1);
    let connection = connections.open(None).unwrap();
    connection.begin_request();
    let began = Instant::now();
    let give_up = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        connection.end_request(Rest::GivenUp);
    };
    futures_util::future::join(connection.unwanted(), give_up).await;
    assert_eq!(began.elapsed().as_secs(), 6);
}

#[test]
fn only_a_strangers_address_is_counted() {
    let proxies = Proxies { header: "x".to_owned(), from: vec![Trusted::parse("10.0.0.2").unwrap()] };
    let counted = |text: &str| counted_peer(Some(text.parse().unwrap()), Some(&proxies));
    assert_eq!(counted("10.0.0.1:1"), A);
    assert_eq!(counted("[::ffff:10.0.0.1]:1"), A);
    for of_many in ["10.0.0.2:1", "127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(counted(of_many), None, "{of_many}");
    }
    assert_eq!(counted_peer(Some("10.0.0.2:1".parse().unwrap()), None), B);
    assert_eq!(counted_peer(None, None), None);
}
