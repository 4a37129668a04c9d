//! An API over real tables of an engine, asked over real HTTP.

#![allow(clippy::unwrap_used, reason = "tests")]

mod answers;
mod common;
mod compiling;
mod lists;
mod manners;
