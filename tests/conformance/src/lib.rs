//! penstock-conformance
