//! penstock-raw-storage
