//! penstock-runtime
