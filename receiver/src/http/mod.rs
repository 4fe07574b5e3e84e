//! The network side: requests in, answers out. It decides nothing about episodes and touches no file.
//!
//! - [`listeners`]: the TCP ports and Unix sockets
//! - [`activation`]: listeners that the service manager holds for the receiver
//! - [`server`]: workers, connections, and the service that answers before `100 Continue`
//! - [`connections`], [`serving`]: the limits on connections, and which connection makes room
//! - [`timeouts`]: time limits on connections
//! - [`api`]: the state that every handler needs
//! - [`identity`]: identifies senders and checks their rights; [`guard`] does it before every handler
//! - [`notices`]: rate-limited warnings about clients
//! - [`headers`]: the head of an upload, typed
//! - [`preflight`]: the verdict on an upload before its body
//! - [`body`]: the body of a request, with a minimum pace
//! - [`refusal`]: maps our errors to status codes and problem bodies; no other code does
//! - [`episodes`], [`gate`], [`host_health`], [`health`]: the endpoints
//!
//! The routes are below, in the order of the protocol's table.

use std::future::ready;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{self, ServiceConfig};
use cis490_shared::wire::path;

use self::api::Api;
use self::refusal::Refusal;

pub mod activation;
pub mod api;
pub mod body;
pub mod connections;
pub mod episodes;
pub mod gate;
pub mod guard;
pub mod headers;
pub mod health;
pub mod host_health;
pub mod identity;
pub mod listeners;
pub mod notices;
pub mod preflight;
pub mod refusal;
pub mod server;
pub mod serving;
pub mod status;
pub mod storing;
pub mod timeouts;

/// Registers the routes of protocol section 2.
pub fn routes(config: &mut ServiceConfig) {
    let resource = |path: &str, allowed: &'static str| {
        web::resource(path.to_owned()).default_service(web::to(move |api: web::Data<Api>| {
            ready(api.refuse(&Refusal::MethodNotAllowed { allowed }))
        }))
    };
    config
        .service(
            // Names are split without decoding, so that no escape can mean a separator.
            resource(&format!("{}{{tail:.*}}", path::EPISODES), "PUT, HEAD")
                .route(web::put().to(episodes::put))
                .route(web::head().to(episodes::head)),
        )
        .service(resource(path::PING, "POST").route(web::post().to(health::ping)))
        .service(resource(path::GATE, "GET").route(web::get().to(gate::describe)))
        .service(resource(&format!("{}/{{commit}}", path::GATE), "GET").route(web::get().to(gate::check)))
        .service(resource(path::HOST_HEALTH, "GET").route(web::get().to(host_health::list)))
        .service(
            resource(&format!("{}/{{host:.*}}", path::HOST_HEALTH), "PUT")
                .route(web::put().to(host_health::put)),
        )
        .service(resource(path::HEALTH, "GET").route(web::get().to(health::health)))
        .service(resource(path::OPENAPI, "GET").route(web::get().to(openapi)))
        .default_service(web::to(not_found));
}

/// The endpoints as OpenAPI 3.1; `receiver/tests/suite/openapi.rs` compares it with the code.
const OPENAPI: &str = include_str!("openapi.json");

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(OPENAPI)
}

/// The routes of the status socket.
fn status_routes(config: &mut ServiceConfig) {
    config
        .route(status::PATH, web::get().to(status::status))
        .route(path::HEALTH, web::get().to(health::health))
        .default_service(web::to(not_found));
}

/// Answers a path that does not exist.
async fn not_found(api: web::Data<Api>) -> HttpResponse {
    api.refuse(&Refusal::NotFound)
}
