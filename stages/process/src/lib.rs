//! penstock-process
