//! Connections as people manage them: checked, sealed, stored, and shown without their secrets.

pub mod input;
pub mod manager;
mod options;
mod redirection;

pub use options::visible_options;
