//! Connections as people manage them: checked, sealed, stored; and unsealed again for the driver.

pub mod input;
pub mod service;
pub mod settings;
