//! Bounds on all that callers together hold of the gateway, in one place: bytes of request bodies, bytes of replies that
//! were not taken yet, and connections. More than that is refused or pushes out someone who stands still; it never grows.
//!
//! `bytes.rs` counts bytes, for the process and for each project. `line.rs` knows what one connection waits for, and
//! `delivery.rs` how one answer gets on; `connections.rs` has all of them, says who must make room and ends whom nobody
//! should wait for any longer. `files.rs` is the bound under all of it. Time is coarse ([`Clock`]) and always an argument.

mod address;
mod bytes;
mod clock;
mod connections;
mod delivery;
mod files;
mod line;
mod times;

pub use address::Address;
pub use bytes::{Account, Budgets, CallShare, Held, Kind, SharedRoom, Spent, Wait};
pub use clock::{Clock, Moment};
pub use connections::{Connections, Full, MadeRoom, Place};
pub use delivery::Delivery;
pub use files::raise_file_limit;
pub use line::{Line, UnderWay};
pub use times::Times;
