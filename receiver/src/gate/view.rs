//! The gate as GateActor has published it last, for whoever needs a verdict: one is given with every upload, and asking
//! the actor would cost two changes of threads each time.

use std::sync::{Arc, PoisonError, RwLock};

use super::window::Gate;

/// A reader's view of the gate; GateActor keeps it current. Clones share it.
#[derive(Debug, Clone)]
pub struct GateView(Arc<RwLock<Arc<Gate>>>);

impl GateView {
    /// A view that shows this gate.
    pub fn new(gate: Gate) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(gate))))
    }

    /// The gate as it is now. What is asked of one of these is answered from one window.
    pub fn now(&self) -> Arc<Gate> {
        // Nothing can panic while the lock is held.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another gate from now on. For GateActor, which alone changes it.
    pub fn publish(&self, gate: Gate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(gate);
    }
}
