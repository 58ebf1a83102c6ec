//! Connections to databases, for the gateway (on behalf of sandboxed drivers) and for native drivers alike.
//!
//! `dial.rs` connects and keeps connections alive, `tls.rs` speaks TLS on them. Host names are looked up elsewhere, by
//! the gateway's address rules: this crate takes the addresses that those allowed.

mod dial;
mod tls;

pub use dial::{ADDRESS_TIMEOUT, Keepalive, connect, unreachable_server};
pub use tls::{
    Check, HandshakeError, Identity, TlsError, client_config, read_authorities, shake_hands,
    shake_hands_within,
};
