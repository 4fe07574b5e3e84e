//! What the log was told already: a person reads about a thing once, not once per episode (accident 2).
//!
//! Pure and bounded; what was forgotten for lack of room is simply said again.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// A set of at most so many things that forgets the oldest.
#[derive(Debug)]
pub struct SeenOnce<T> {
    order: VecDeque<T>,
    set: HashSet<T>,
    capacity: usize,
}

impl<T: Clone + Eq + Hash> SeenOnce<T> {
    /// Remembers up to `capacity` things.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { order: VecDeque::new(), set: HashSet::new(), capacity }
    }

    /// True the first time that it is called with a thing.
    pub fn is_new(&mut self, thing: T) -> bool {
        if !self.set.insert(thing.clone()) {
            return false;
        }
        self.order.push_back(thing);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    /// Forgets some of it.
    pub fn forget(&mut self, which: impl Fn(&T) -> bool) {
        self.order.retain(|thing| !which(thing));
        self.set.retain(|thing| !which(thing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_new_once_and_the_memory_is_bounded() {
        let mut said = SeenOnce::with_capacity(2);
        assert!(said.is_new("a") && !said.is_new("a"));
        assert!(said.is_new("b") && said.is_new("c"));
        assert_eq!((said.order.len(), said.set.len()), (2, 2));
        assert!(!said.is_new("c") && said.is_new("a"));
        said.forget(|thing| *thing == "c");
        assert!(said.is_new("c") && !said.is_new("a"));
    }
}
