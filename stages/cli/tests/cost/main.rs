//! `penstock cost`: as people start it, and its calls beside those that the engines count.
#![allow(clippy::unwrap_used, reason = "tests")]

mod command;
mod docs;
mod feed;
mod model;
mod shop;
