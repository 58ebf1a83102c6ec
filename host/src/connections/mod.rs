//! Stored connections as sessions need them: where they lead, their opened secrets, and the projects' own databases.

pub mod destination;
pub mod project_database;
pub mod sealed_string;
pub mod settings;
pub mod target;
