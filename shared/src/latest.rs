//! Values that an actor updates and others read: the commit window, the tokens, the certificates.
//!
//! Asking the actor for a value would cost two thread switches each time.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A reader's view of a value, which the owning actor keeps current. Clones share the value.
#[derive(Debug, Default)]
pub struct Latest<T>(Arc<ArcSwap<T>>);

impl<T> Latest<T> {
    /// Creates a view of this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// Returns the current value. The result does not change, so reading several parts of it is consistent.
    pub fn now(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value. Only the owning actor calls this.
    pub fn publish(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
