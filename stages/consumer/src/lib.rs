//! penstock-consumer
