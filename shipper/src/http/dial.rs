//! The first address of a name that answers, after RFC 8305: an address that leads nowhere, as an AAAA record often
//! does, must not keep the others waiting.
//!
//! Families take turns, beginning with the one that the resolver prefers. Each address has a head start before the next
//! is tried beside it; one that fails gives its place up at once.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// The "Connection Attempt Delay" of RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// What the first of the addresses gives that gives anything; the first failure where none does.
pub(super) async fn first<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    dial: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let (mut waiting, mut tries, mut failure) = (in_turns(addresses), FuturesUnordered::new(), None);
    loop {
        tries.extend(waiting.pop_front().map(&dial));
        let head_start = async {
            match waiting.is_empty() {
                true => pending().await,
                false => sleep(HEAD_START).await,
            }
        };
        tokio::select! {
            () = head_start => {}
            ended = tries.next() => match ended {
                Some(Ok(given)) => return Ok(given),
                Some(Err(error)) => _ = failure.get_or_insert(error),
                None => {
                    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                    return Err(failure.unwrap_or_else(unknown));
                }
            },
        }
    }
}

/// The addresses, one of each family in turn, in the order that they have otherwise.
fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let prefers_v6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.is_ipv6() == prefers_v6);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let before = turns.len();
        turns.extend(preferred.next());
        turns.extend(others.next());
        if turns.len() == before {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn paused<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test)
    }

    /// Who answers, and after how many milliseconds, where those that lead nowhere and those that refuse are told by port.
    fn dialled(texts: &[&str]) -> (Result<String, String>, u128) {
        paused(async {
            let begin = Instant::now();
            let answered = first(addresses(texts), |address| async move {
                match address.port() {
                    1 => pending().await,
                    2 => Err(io::Error::other(format!("{address} refuses"))),
                    _ => Ok(address.to_string()),
                }
            });
            let answered = tokio::time::timeout(Duration::from_secs(5), answered).await;
            let answered = answered.map_err(|_| "nobody".to_owned());
            let answered = answered.and_then(|ended| ended.map_err(|error| error.to_string()));
            (answered, begin.elapsed().as_millis())
        })
    }

    #[test]
    fn an_address_that_leads_nowhere_costs_a_head_start_and_no_more() {
        assert_eq!(dialled(&["[::1]:1", "127.0.0.1:80"]), (Ok("127.0.0.1:80".to_owned()), 250));
        assert_eq!(dialled(&["[::1]:1", "[::2]:1", "127.0.0.1:80"]), (Ok("127.0.0.1:80".to_owned()), 250));
        assert_eq!(dialled(&["[::1]:80", "127.0.0.1:80"]), (Ok("[::1]:80".to_owned()), 0));
    }

    #[test]
    fn an_address_that_refuses_costs_nothing() {
        assert_eq!(dialled(&["[::1]:2", "127.0.0.1:2", "127.0.0.2:80"]), (Ok("127.0.0.2:80".to_owned()), 0));
        assert_eq!(dialled(&["[::1]:2", "127.0.0.1:2"]), (Err("[::1]:2 refuses".to_owned()), 0));
        assert_eq!(dialled(&["[::1]:1", "127.0.0.1:2"]), (Err("nobody".to_owned()), 5000));
        assert_eq!(dialled(&[]), (Err("the name has no address".to_owned()), 0));
    }

    #[test]
    fn families_take_turns() {
        let turns = in_turns(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]));
        assert_eq!(turns, addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]));
    }
}
