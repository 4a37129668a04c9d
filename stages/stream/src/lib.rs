//! penstock-stream
