//! penstock-faults
