//! Connections to databases, for the gateway (on behalf of sandboxed drivers) and for native drivers alike.
//!
//! `dial.rs` connects and keeps connections alive, `tls.rs` speaks TLS on them. The gateway's address rules look host
//! names up elsewhere: this crate gets only addresses that those rules allowed.

mod dial;
mod tls;

pub use dial::{ADDRESS_TIMEOUT, Keepalive, connect, unreachable_server};
pub use tls::{
    Check, HandshakeError, Identity, TlsError, client_config, read_authorities, shake_hands,
    shake_hands_within,
};
