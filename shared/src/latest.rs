//! What one actor keeps current and others read: the commit window, the tokens, the certificates.
//!
//! Asking the actor would cost two changes of threads each time.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A reader's view of a value; the actor that owns it keeps it current. Clones share it.
#[derive(Debug, Default)]
pub struct Latest<T>(Arc<ArcSwap<T>>);

impl<T> Latest<T> {
    /// A view that shows this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The value as it is now. What is asked of one of these is answered from one state of it.
    pub fn now(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Shows another value from now on. For the actor that owns it, which alone changes it.
    pub fn publish(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
