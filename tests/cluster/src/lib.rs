//! A real cluster on this machine, for tests and for people: etcd, the programs of Kubernetes, containerd and CoreDNS, as one
//! tree of processes in namespaces of its own (processes, mounts, network).
//!
//! [`Cluster`] starts, finds and ends one; [`init`] is the first process of its tree. When that one ends, however it ends, the
//! system ends all others, containers included, and takes mounts and network with them: nothing can be left behind but
//! the folder of its files and empty control groups, which the next start clears away. Several clusters may run side by side.
//!
//! It needs Linux, root, `unshare` and `nsenter`, and from Debian containerd, runc, CNI's plugins, iptables and iproute2,
//! which [`machine`] installs where it may. It knows nothing of Penstock but how to get its image.

pub mod cluster;
mod control_groups;
mod files;
mod folder;
mod image;
pub mod init;
pub mod machine;
mod network;
mod processes;
mod programs;
mod services;
mod wait;

pub use cluster::{Cluster, End, Lifetime};
pub use image::{built as built_image, pause as pause_image};
pub use programs::tool;
pub use wait::{eventually, within};
