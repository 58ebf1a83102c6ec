//! Connections as people manage them: checked, sealed, stored, and shown without their secrets.

pub mod input;
mod options;
mod redirection;
pub mod service;

pub use options::visible_options;
