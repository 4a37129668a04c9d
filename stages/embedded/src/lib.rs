//! penstock-embedded
