//! studio-gateway: one HTTP service in front of many databases, each behind a driver plugin.
//!
//! The host knows who is calling, what they may do, and which connection they mean; it knows nothing of any
//! database. [`flow`] is the path of a request and the place to start reading; [`gateway`] wires everything together.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// A panic in one request, or in a driver, must not be the end of all others.
#[cfg(panic = "abort")]
compile_error!("the gateway must unwind when something panics: take `panic = \"abort\"` out of the profile");

pub mod addresses;
pub mod audit;
pub mod budgets;
pub mod cache;
pub mod cli;
pub mod config;
pub mod connections;
mod count_guard;
pub mod directory;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod floors_tests;
pub mod flow;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod limits;
pub mod logging;
pub mod management;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod memory;
mod meters;
pub mod plugins;
pub mod registry;
pub mod role;
pub mod secrets;
pub mod serve;
pub mod sessions;
pub mod telemetry;
