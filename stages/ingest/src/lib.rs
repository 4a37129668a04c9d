//! penstock-ingest
