//! Streams and tables: looked at, and brought a step nearer, without waiting.
//!
//! What was found ready is trusted for a while, so that a rollout, with its many reconciles, asks AWS nothing.

mod accounts;
mod budget;
mod clients;
mod drained;
mod view;

pub(crate) use accounts::DEFERRED;
pub use accounts::{Accounts, Ask};
pub use budget::Budget;
pub use clients::{AwsClients, SdkClients};
pub use view::{ResourceState, ResourceView, ResourcesView};
