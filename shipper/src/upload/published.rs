//! Waits until an archive is published, which goes on in the blocking pool whether or not anybody waits.

use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::store::outbox::OutboxError;

/// Ready once the archive is in the outbox, bytes and name on disk, or cannot be brought there. All clones say the
/// same.
#[derive(Clone)]
pub struct Published(Shared<LocalBoxFuture<'static, Result<(), Rc<OutboxError>>>>);

impl Published {
    /// When `done` says so.
    pub fn when(done: impl Future<Output = Result<(), OutboxError>> + 'static) -> Self {
        Self(done.map(|done| done.map_err(Rc::new)).boxed_local().shared())
    }

    /// An archive that lay in the outbox before.
    pub fn already() -> Self {
        Self::when(ready(Ok(())))
    }
}

impl Future for Published {
    /// A text, since it is told as the reason why a body broke off.
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx).map_err(|error| error.to_string())
    }
}
