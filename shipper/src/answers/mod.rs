//! What an answer means for the episode that it is about.
//!
//! - [`answer`]: an answer as it came in, and what it looks like where no receiver gave it
//! - [`judge`]: what it means: the right-hand column of protocol 2.2 as one table
//! - [`outcome`]: what became of one attempt to ship an episode
//!
//! Pure: nothing here knows HTTP, a clock or a disk.

pub mod answer;
pub mod judge;
pub mod outcome;
