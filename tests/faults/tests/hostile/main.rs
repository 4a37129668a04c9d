//! Hostile input against the whole command: each gets the right answer, the process stays up in bounded memory,
//! and what was accepted is in every store or in dead letters, and nothing else is.
//!
//! Each test opens a shop of its own (`penstock run` on the example), does its worst over HTTP, with
//! `penstock send` or in the stream itself, and closes it: see `Shop::closes_well` for what is checked of all.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bodies;
mod connections;
mod files;
mod http;
mod rows;
mod shop;
mod stores;
mod stream;
