//! The main job, as processes behind faulty gates, while they are killed and frozen and the stream is resharded.
//!
//! | module | does |
//! |---|---|
//! | `events` | what happens to the processes and to the stream, and when: a pure function of the seed |
//! | `workers` | the processes and their gates |
//! | `reshard` | splits, merges and scales the stream, on the engine itself |
//! | `run` | one run, from the empty folder to the verdict |

mod events;
mod reshard;
mod run;
mod workers;

pub use run::{ChaosOptions, Outcome, run};
