//! What one actor keeps current and others read: the commit window, the tokens, the certificates.
//!
//! Asking the actor would cost two changes of threads each time.

use std::sync::{Arc, PoisonError, RwLock};

/// A reader's view of a value; the actor that owns it keeps it current. Clones share it.
#[derive(Debug, Default)]
pub struct Latest<T>(Arc<RwLock<Arc<T>>>);

impl<T> Latest<T> {
    /// A view that shows this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value as it is now. What is asked of one of these is answered from one state of it.
    pub fn now(&self) -> Arc<T> {
        // Nothing can panic while the lock is held.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another value from now on. For the actor that owns it, which alone changes it.
    pub fn publish(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
