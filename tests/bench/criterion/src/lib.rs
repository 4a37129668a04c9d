//! Only the benchmark is of use here: see `benches/loops.rs`.
