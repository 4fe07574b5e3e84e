//! What proves a name, as it is now: published by CredentialsActor, read with every request.

use std::sync::{Arc, PoisonError, RwLock};

use super::tokens::Tokens;

/// A reader's view of the tokens; CredentialsActor keeps it current. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct TokensView(Arc<RwLock<Arc<Tokens>>>);

impl TokensView {
    /// The tokens that count now.
    pub fn now(&self) -> Arc<Tokens> {
        // Nothing can panic while the lock is held.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets other tokens count from now on. For CredentialsActor, which alone changes them.
    pub fn publish(&self, tokens: Tokens) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }
}
