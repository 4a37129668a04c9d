//! Sample data (placeholder while the rest is compiled).
