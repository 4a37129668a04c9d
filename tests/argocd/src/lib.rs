//! Argo CD for tests: its repo server and application controller as processes beside a control plane, set up with the files of
//! `examples/argocd`, and git repositories for it to follow.
//!
//! The programs are built from the Go module beside this crate, which pins Argo CD; `cargo xtask argocd` does it. It knows the
//! control plane of the tests and the operator's names. Deliberately absent: Argo CD's page and its login, which no Pipeline
//! meets.

mod application;
mod argo;
mod commands;
mod garbage;
mod process;
mod programs;
mod repository;
mod tree;

pub use application::{Application, View, Watch, application, example};
pub use argo::{Argo, Tracking};
pub use commands::{argo_cd_says, flux_says};
pub use garbage::GarbageCollector;
pub use repository::Repository;
pub use tree::{Health, Node, Parent};
