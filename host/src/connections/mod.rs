//! Connections as people manage them: checked, sealed, stored; and unsealed again for the driver.

pub mod destination;
pub mod input;
mod options;
pub mod project_database;
mod redirection;
pub mod sealed_string;
pub mod service;
pub mod settings;
