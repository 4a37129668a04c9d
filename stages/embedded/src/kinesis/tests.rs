//! Tests of the engine as a whole, with a clock that they move.
