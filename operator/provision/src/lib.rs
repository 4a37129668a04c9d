//! penstock-provision
