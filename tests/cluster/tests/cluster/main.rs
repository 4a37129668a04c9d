//! The chart, the operator and the stages on a real cluster: pods run, roll, drain and are killed, and every row is stored.
//!
//! Each test has a cluster of its own, one after the other. With PENSTOCK_FULL set, as by `cargo xtask cluster test`,
//! pods and node are killed again and again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod leaving;
mod leftovers;
mod month;
mod older;
mod page;
mod pipeline;
mod setting;
mod shop;
