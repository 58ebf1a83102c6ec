//! Something to see: sample data for the databases of `dev`.

pub mod memcached;
pub mod mongodb;
pub mod postgres;
pub mod redis;
