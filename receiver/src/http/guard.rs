//! Runs before every handler, and answers requests whose sender may not make them.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use super::api::Api;
use super::identity::{Authorized, RequestOrigin, Via};
use super::refusal::Refusal;

/// Passes a request on to its handler, or answers it.
pub async fn let_through(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (Some(api), Some(via)) =
        (request.app_data::<web::Data<Api>>().cloned(), request.app_data::<Via>().copied())
    else {
        // The application always has both. Without them nothing may pass.
        return Ok(request.into_response(Refusal::Gone.response("")).map_into_right_body());
    };
    // If the client sent Expect, the expect service has already identified it.
    let authorized = request.extensions_mut().remove::<Authorized>();
    let authorized = authorized.map_or_else(
        || {
            let peer = request.request().conn_data();
            api.identities.authorize(RequestOrigin { head: request.head(), via, peer })
        },
        Ok,
    );
    match authorized {
        Ok(authorized) => {
            request.extensions_mut().insert(authorized);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        Err(refusal) => {
            api.turn_away(request.head(), &refusal);
            Ok(request.into_response(api.refuse(&refusal)).map_into_right_body())
        }
    }
}
