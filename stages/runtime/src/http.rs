//! What stages that answer HTTP share: connections that are bounded and end in order, and API keys.

mod keys;
mod server;
mod stalling;

pub use keys::{ApiKey, ApiKeys, Denied};
pub use server::{ConnectionLimits, ConnectionWatch, listen, serve};
