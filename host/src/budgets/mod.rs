//! Bounds on all that callers together hold of the gateway: bytes of request bodies, bytes of replies that were not
//! taken yet, and connections. Anything beyond a bound is refused, or pushes out a client that stands still.
//!
//! `bytes.rs` counts bytes, for the process and for each project. `line.rs` tells what one connection waits for, and
//! `delivery.rs` how far one answer has come; `client_connections.rs` holds all connections, chooses those that must
//! make room and ends those whose time is over. `files.rs` bounds them all by the files that may be open. Time is
//! coarse ([`Clock`]) and always an argument.

mod address;
mod bytes;
mod client_connections;
mod clock;
mod delivery;
mod files;
mod line;
mod times;

pub use address::Address;
pub use bytes::{Account, Budgets, CallShare, Held, Kind, SharedRoom, Spent, Wait};
pub use client_connections::{ClientConnection, ClientConnections, Full, MadeRoom};
pub use clock::{Clock, Moment};
pub use delivery::Delivery;
pub use files::raise_file_limit;
pub use line::{Line, UnderWay};
pub use times::Times;
