//! The driver beside a real PostgreSQL, without a gateway. One test program for all of it, so that it links once.

// This is test code: to panic with a message is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod proofs;
mod statements;
mod support;
mod tricks;
