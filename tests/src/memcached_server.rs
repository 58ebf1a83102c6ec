//! A real memcached for a test.

use crate::server::{Contents, TestServer, told};

pub use studio_test_servers::MemcachedOptions;

/// A memcached. Its data are gone when it stops.
pub type MemcachedServer = TestServer<MemcachedOptions>;

impl Contents for MemcachedOptions {}

impl TestServer<MemcachedOptions> {
    /// Asks the server itself, beside the gateway: `ask("get k")` gives the first line of the answer.
    pub fn ask(&self, command: &str) -> String {
        (**self).ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Stores items beside the gateway, all at once.
    pub fn store(&self, items: impl IntoIterator<Item = (String, String)>) {
        told((**self).store(items));
    }
}
