//! Batches of a thread's results. Each send can wake another thread and cost a sync, which takes longer than to read a
//! small archive.
//!
//! It is pure: the time is a parameter.

use std::time::{Duration, Instant};

/// How long the first item of a batch may wait.
const KEPT_FOR: Duration = Duration::from_millis(100);

/// The most items in a batch.
pub const HANDFUL: usize = 128;

/// Items that wait to be sent together.
#[derive(Debug)]
pub struct Gatherer<T> {
    gathered: Vec<T>,
    first_at: Option<Instant>,
}

impl<T> Default for Gatherer<T> {
    fn default() -> Self {
        Self { gathered: Vec::new(), first_at: None }
    }
}

impl<T> Gatherer<T> {
    /// Adds an item; returns the whole batch when it is due.
    #[must_use]
    pub fn add(&mut self, one: T, now: Instant) -> Option<Vec<T>> {
        self.gathered.push(one);
        let first_at = *self.first_at.get_or_insert(now);
        let is_time = self.gathered.len() >= HANDFUL || now.duration_since(first_at) >= KEPT_FOR;
        is_time.then(|| self.take())
    }

    /// Returns the remaining items.
    #[must_use]
    pub fn take(&mut self) -> Vec<T> {
        self.first_at = None;
        std::mem::take(&mut self.gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_handed_on_when_they_are_many_or_when_the_first_has_waited() {
        let (mut gatherer, began) = (Gatherer::default(), Instant::now());
        for number in 1..HANDFUL {
            assert_eq!(gatherer.add(number, began), None);
        }
        assert_eq!(gatherer.add(HANDFUL, began).map(|handful| handful.len()), Some(HANDFUL));
        assert_eq!(gatherer.add(1, began + KEPT_FOR), None, "its time begins with its first");
        assert_eq!(gatherer.add(2, began + KEPT_FOR + KEPT_FOR / 2), None);
        assert_eq!(gatherer.add(3, began + KEPT_FOR * 2), Some(vec![1, 2, 3]));
        assert_eq!(gatherer.add(4, began + KEPT_FOR * 3), None);
        assert_eq!((gatherer.take(), gatherer.take()), (vec![4], vec![]));
    }
}
