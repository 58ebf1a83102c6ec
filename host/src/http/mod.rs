//! The HTTP side: the router, a file for each resource of the host, and the mapping from errors to statuses.

mod body;
mod caller;
mod carried;
mod client_address;
mod compression;
mod connections;
mod cors;
mod driver;
pub mod error;
mod front;
pub(crate) mod fuzzing;
mod health;
mod limit;
mod members;
mod observe;
mod organizations;
mod plugins;
mod projects;
mod router;
pub mod server;
mod socket;

pub use front::{Answer, Front};
pub use router::metrics_router;
