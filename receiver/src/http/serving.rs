//! Connections within their limits: the server asks [`Connections`] for room and reports the requests that it serves.
//!
//! A handler returns before its answer is written, so the guard of a request lives in the body of the answer.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory};
use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use bytes::Bytes;

use super::connections::{Connection, Connections, Rest};

tokio::task_local! {
    /// The connection whose requests this task serves.
    static CONNECTION: Rc<Connection>;
}

/// The most bytes of an answer that are handed over at once. The server takes no more while it has these.
const PART: usize = 32 * 1024;

/// Passes connections to `inner` while there is room for them, and closes the others at once.
pub fn bounded<I, F, S>(
    inner: F,
    connections: Connections,
    peer: impl Fn(&I) -> Option<IpAddr> + Clone,
) -> impl ServiceFactory<I, Config = S::Config, Response = (), Error = S::Error, InitError = S::InitError>
where
    F: IntoServiceFactory<S, I>,
    S: ServiceFactory<I, Response = ()>,
{
    apply_fn_factory(inner, move |io: I, inner: &S::Service| {
        let room = connections.open(peer(&io));
        let served = room.map(|connection| (Rc::new(connection), inner.call(io)));
        async move {
            let Some((connection, work)) = served else { return Ok(()) };
            tokio::select! {
                biased;
                ended = CONNECTION.scope(Rc::clone(&connection), work) => ended,
                () = connection.unwanted() => Ok(()),
            }
        }
    })
}

/// A request that is being served. Its connection does not count as waiting meanwhile.
#[derive(Debug)]
pub struct Serving {
    connection: Option<Rc<Connection>>,
    then: Rest,
}

impl Serving {
    /// Registers a request on the connection of this task.
    pub fn begin() -> Self {
        let connection = CONNECTION.try_with(Rc::clone).ok();
        if let Some(connection) = &connection {
            connection.begin_request();
        }
        Self { connection, then: Rest::Between }
    }

    /// Records whether the client must take something now.
    fn waits_for_client(&self, waits: bool) {
        if let Some(connection) = &self.connection {
            connection.waits_for_client(waits);
        }
    }

    /// Records the status of the answer, and whether the request had a body.
    pub fn answered(&mut self, status: StatusCode, has_body: bool) {
        self.then = match status {
            StatusCode::REQUEST_TIMEOUT => Rest::GivenUp,
            _ if has_body && !status.is_success() => Rest::Lingering,
            _ => Rest::Between,
        };
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.end_request(self.then);
        }
    }
}

/// Registers each request with its connection until the answer is taken.
pub async fn attend(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Answer>, Error> {
    let mut serving = Serving::begin();
    let headers = request.headers();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let answer = next.call(request).await?;
    serving.answered(answer.status(), has_body);
    Ok(answer.map_into_boxed_body().map_body(|_, body| Answer::new(body, serving)))
}

/// The body of an answer, in parts. Its request counts as being served until the client has taken all of them.
pub struct Answer {
    body: BoxBody,
    /// The bytes that the body gave and that were not handed over yet.
    left: Bytes,
    /// The number of bytes handed over.
    handed: usize,
    serving: Serving,
}

impl Answer {
    fn new(body: BoxBody, serving: Serving) -> Self {
        Self { body, left: Bytes::new(), handed: 0, serving }
    }
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.left.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.left = bytes,
                other => {
                    // The client is not to blame for a slow answer of the receiver.
                    self.serving.waits_for_client(false);
                    return other;
                }
            }
        }
        self.serving.waits_for_client(true);
        let part = self.left.len().min(PART);
        self.handed += part;
        if self.handed > PART && self.serving.then == Rest::Between {
            self.serving.then = Rest::Written;
        }
        Poll::Ready(Some(Ok(self.left.split_to(part))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::limits::Bounds;

    const STALL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_as_long_as_its_client_takes_some_of_it_and_no_longer() {
        let bounds = Bounds { in_all: 1, per_peer: 1, stall: STALL };
        let connection = Rc::new(Connections::new(bounds).open(None).unwrap());
        let serving = CONNECTION.sync_scope(Rc::clone(&connection), Serving::begin);
        let whole = Bytes::from(vec![7; 10 * PART + 1]);
        let mut answer = Answer::new(BoxBody::new(whole.clone()), serving);
        assert_eq!(answer.size(), BodySize::Sized(whole.len() as u64));
        let mut taken = Vec::new();
        while let Some(part) = std::future::poll_fn(|context| Pin::new(&mut answer).poll_next(context)).await
        {
            taken.extend_from_slice(&part.unwrap());
            let slow = tokio::time::timeout(STALL / 2, connection.unwanted()).await;
            assert!(slow.is_err(), "it was given up after {} bytes", taken.len());
        }
        assert_eq!(taken, whole);
        drop(answer);
        let last_bytes = tokio::time::timeout(Duration::from_mins(1), connection.unwanted()).await;
        assert!(last_bytes.is_err(), "what is still in buffers takes its time too");
        connection.unwanted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let bounds = Bounds { in_all: 1, per_peer: 1, stall: STALL };
        let connection = Rc::new(Connections::new(bounds).open(None).unwrap());
        let serving = CONNECTION.sync_scope(Rc::clone(&connection), Serving::begin);
        let mut answer = Answer::new(BoxBody::new(vec![7; 10 * PART]), serving);
        let first = std::future::poll_fn(|context| Pin::new(&mut answer).poll_next(context)).await;
        assert_eq!(first.unwrap().unwrap().len(), PART);
        let began = tokio::time::Instant::now();
        connection.unwanted().await;
        assert_eq!(began.elapsed(), STALL);
    }
}
