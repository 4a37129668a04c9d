//! A proxy that does to requests what networks and services do, by a schedule that follows from a seed.
//!
//! It stands between a process and what that process calls: the engines, or a source. It speaks HTTP/1.1 on both sides and
//! passes bodies as they come; only a request's body is held, since it may have to be delivered twice.
//!
//! | module | does |
//! |---|---|
//! | `request` | which operation of which service a request is |
//! | `schedule` | which fault meets which request: a pure function of seed, gate, operation and count |
//! | `refusal` | the services' own words for "not now" and "it broke" |
//! | `batch` | the requests that succeed in parts |
//! | `gate` | the sockets |

mod batch;
mod gate;
mod refusal;
mod request;
mod schedule;

pub use gate::{Counts, Gate};
pub(crate) use schedule::mixed;
pub use schedule::{Fault, Schedule};
