//! Connections within their bounds: how the server asks [`Connections`], and tells it what is being served.

use std::net::IpAddr;
use std::rc::Rc;

use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::middleware::Next;

use super::connections::{Connection, Connections, Rest};

tokio::task_local! {
    /// The connection whose requests this task serves.
    static CONNECTION: Rc<Connection>;
}

/// Hands connections to `inner` as long as there is room for them, and closes the others at once.
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

/// A request that is being served: its connection does not wait for one meanwhile.
#[derive(Debug)]
pub struct Serving {
    connection: Option<Rc<Connection>>,
    then: Rest,
}

impl Serving {
    /// Begins with a request on the connection of this task.
    pub fn begin() -> Self {
        let connection = CONNECTION.try_with(Rc::clone).ok();
        if let Some(connection) = &connection {
            connection.begin_request();
        }
        Self { connection, then: Rest::Between }
    }

    /// Says how it was answered, and whether a body belonged to it.
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

/// Lets the connection of a request know that it is being served.
pub async fn attend(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut serving = Serving::begin();
    let headers = request.headers();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let answer = next.call(request).await?;
    serving.answered(answer.status(), has_body);
    Ok(answer)
}
