//! The driver beside a real memcached, without a gateway. One test program for all of it, so that it links once.

// This is test code: to panic with a message is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod connections;
mod keys;
mod listing;
mod protocol;
mod server;
mod support;
