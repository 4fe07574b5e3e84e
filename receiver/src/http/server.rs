//! The way of a connection from its listener to its handlers.
//!
//! The stock server answers `100 Continue` before any handler runs. This one asks [`preflight`] first, so that a
//! refused client sends no byte of its body. HTTP/1.1 only, because HTTP/2 loses early answers.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, KeepAlive, Request, Response};
use actix_rt::net::{ActixStream, TcpStream, UnixStream};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::AppConfig;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpMessage, web};
use cis490_shared::wire::path;

use super::api::Api;
use super::connections::{Connections, counted_peer};
use super::guard;
use super::identity::{RequestOrigin, Via};
use super::listeners::Listeners;
use super::notices::Notices;
use super::preflight::{self, Preflight};
use super::serving::{self, Serving, bounded};
use super::status::{self, Listening, StatusSocket};
use super::timeouts::{self, KEEP_ALIVE, LINGER};
use super::{episodes, routes, status_routes};
use crate::tls::handshake;
use crate::tls::peer::Peer;
use crate::tls::server_tls::ServerTls;

/// Serves the listeners until the returned server is stopped. The caller handles signals.
pub fn serve(
    listeners: Listeners,
    status: Option<&StatusSocket>,
    api: &web::Data<Api>,
    connections: &Connections,
    shutdown_timeout: Duration,
) -> io::Result<Server> {
    let mut builder: ServerBuilder =
        Server::build().disable_signals().shutdown_timeout(shutdown_timeout.as_secs());
    let stopping = builder.graceful_shutdown_signal();
    for bound in listeners.tcp {
        let (api, stopping, connections) = (api.clone(), stopping.clone(), connections.clone());
        let name = format!("tcp {}", bound.local_addr()?);
        let proxies = api.identities.proxies.clone();
        let counted = move |io: &TcpStream| counted_peer(io.peer_addr().ok(), proxies.as_ref());
        builder = match api.tls.clone() {
            None => builder.listen(name, bound, move || {
                let plain = fn_service(|io: TcpStream| {
                    let address = prepare(&io);
                    ready(Ok((io, address)))
                });
                let served = plain.and_then(http(&api, Via::Tcp, &stopping, |_, _| {}));
                bounded(served, connections.clone(), counted.clone())
            })?,
            Some(tls) => builder.listen(name, bound, move || {
                let (tls, for_handshakes, for_peers) = (tls.clone(), api.clone(), api.clone());
                let encrypted = fn_service(move |io| encrypt(io, tls.now(), for_handshakes.clone()));
                let introduce = move |io: &_, data: &mut _| introduce(io, data, &for_peers.notices);
                let served = encrypted.and_then(http(&api, Via::Tcp, &stopping, introduce));
                bounded(served, connections.clone(), counted.clone())
            })?,
        };
    }
    for (bound, path) in listeners.unix {
        let (api, stopping, connections) = (api.clone(), stopping.clone(), connections.clone());
        builder = builder.listen_uds(format!("unix {}", path.display()), bound, move || {
            let plain = fn_service(|io: UnixStream| ready(Ok((io, None))));
            let served = plain.and_then(http(&api, Via::Unix, &stopping, |_, _| {}));
            bounded(served, connections.clone(), |_| None)
        })?;
    }
    if let Some(StatusSocket { bound, listening, .. }) = status {
        let (api, stopping, bound) = (api.clone(), stopping.clone(), bound.try_clone()?);
        let (connections, listening) = (Connections::new(status::CONNECTIONS), Listening(listening.clone()));
        builder = builder.listen_uds("status", bound, move || {
            let plain = fn_service(|io: UnixStream| ready(Ok((io, None))));
            let served = plain.and_then(status_http(&api, &listening, &stopping));
            bounded(served, connections.clone(), |_| None)
        })?;
    }
    Ok(builder.run())
}

/// HTTP on the status socket, where nothing but the status is told.
fn status_http(
    api: &web::Data<Api>,
    listening: &Listening,
    stopping: &GracefulShutdownSignal,
) -> impl ServiceFactory<
    (UnixStream, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<> {
    let stopping = stopping.clone();
    let app = App::new().app_data(api.clone()).app_data(web::Data::new(listening.clone()));
    let app = app.configure(status_routes).wrap(from_fn(serving::attend));
    let app = app.into_factory().map_err(|error| error.error_response());
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KeepAlive::Disabled)
        .client_request_timeout(timeouts::HEAD)
        .client_disconnect_timeout(LINGER)
        .h1(map_config(app, |()| AppConfig::default()))
}

/// Sets up a connection, and says whose it is.
fn prepare(io: &TcpStream) -> Option<SocketAddr> {
    // Without this, the answer to a small upload waits for the client's delayed acknowledgement.
    io.set_nodelay(true).and_then(|()| io.peer_addr()).ok()
}

/// Does the TLS handshake. If it fails, the connection is closed and the log says why.
async fn encrypt(
    io: TcpStream,
    now: Arc<ServerTls>,
    api: web::Data<Api>,
) -> Result<(TlsStream<TcpStream>, Option<SocketAddr>), DispatchError> {
    let address = prepare(&io);
    match handshake::shake(io, &now).await {
        Ok(encrypted) => Ok((encrypted, address)),
        Err(error) => {
            api.notices.handshake_failed(address, &error);
            Err(DispatchError::Io(error))
        }
    }
}

/// Attaches the client's certificate to every request of the connection; warns if it expires soon.
fn introduce(connection: &TlsStream<TcpStream>, data: &mut Extensions, notices: &Notices) {
    let Some(chain) = connection.get_ref().1.peer_certificates() else { return };
    let peer = Peer::new(chain);
    if let Some((name, remaining)) = peer.ends_soon() {
        notices.expires(name, remaining);
    }
    data.insert(peer);
}

/// Returns the service for HTTP/1.1 over any kind of stream, with our answer to `Expect: 100-continue`.
///
/// The data that `on_connect` stores for a connection goes with each of its requests.
fn http<T: ActixStream + 'static, C: Fn(&T, &mut Extensions) + 'static>(
    api: &web::Data<Api>,
    via: Via,
    stopping: &GracefulShutdownSignal,
    on_connect: C,
) -> impl ServiceFactory<
    (T, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<T, C> {
    // This runs once on each worker, for each listener.
    api.workers.enlist();
    let stopping = stopping.clone();
    let app = App::new().app_data(api.clone()).app_data(via).configure(routes);
    let app = app.wrap(from_fn(guard::let_through)).wrap(from_fn(serving::attend));
    let app = app.into_factory().map_err(|error| error.error_response());
    let api = api.clone();
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .on_connect_ext(on_connect)
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(timeouts::HEAD)
        .client_disconnect_timeout(LINGER)
        // This is the builder's `expect`, for requests that expect 100-continue. It unwraps nothing.
        .expect(fn_service(move |request| {
            let api = api.clone();
            async move {
                let mut serving = Serving::begin();
                let verdict = before_continue(request, via, api).await;
                verdict.inspect_err(|refusal| serving.answered(refusal.status(), true))
            }
        }))
        .h1(map_config(app, |()| AppConfig::default()))
}

/// Decides whether a client that sent Expect may send its body. The decision goes with the request.
async fn before_continue(
    request: Request,
    via: Via,
    api: web::Data<Api>,
) -> Result<Request, Response<BoxBody>> {
    let asking = RequestOrigin { head: request.head(), via, peer: request.conn_data() };
    match api.identities.authorize(asking) {
        Ok(authorized) => request.extensions_mut().insert(authorized),
        Err(refusal) => {
            api.turn_away(request.head(), &refusal);
            return Err(api.refuse(&refusal).into());
        }
    };
    let is_upload = request.method() == Method::PUT && request.path().starts_with(path::EPISODES);
    if !is_upload {
        return Ok(request);
    }
    match preflight::check_upload(&api, request.head()).await {
        Ok(Preflight::AlreadyStored { answer, position }) => {
            Err(episodes::stored_answer(answer, position).into())
        }
        Ok(cleared) => {
            request.extensions_mut().insert(cleared);
            Ok(request)
        }
        Err(refusal) => {
            api.turn_away(request.head(), &refusal);
            Err(api.refuse(&refusal).into())
        }
    }
}
