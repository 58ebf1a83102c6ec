//! The driver beside a real Redis, without a gateway. One test program for all of it, so that it links once.

// This is test code: to panic with a message is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod commands;
mod connections;
mod keys;
mod questions;
mod sizes;
mod support;
