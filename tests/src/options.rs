//! Options to start a gateway with.

use crate::{
    database::Registry,
    plugins::{Plugins, RedisDriver},
};

/// Settings of a test's gateway; all others are as an operator would have them.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    pub(crate) registry: Registry,
    pub(crate) plugins: Plugins,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) files: Option<u32>,
    pub(crate) ignores_large_files: bool,
    pub(crate) log_is_stuck: bool,
}

impl GatewayOptions {
    /// Makes options with the Redis and probe drivers, and private addresses allowed.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            plugins: RedisDriver::Library.into(),
            environment: Vec::new(),
            files: None,
            ignores_large_files: false,
            log_is_stuck: false,
        }
    }

    /// Sets other plugins.
    pub fn plugins(mut self, plugins: Plugins) -> Self {
        self.plugins = plugins;
        self
    }

    /// Sets one environment variable, over the harness's own.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets it open this many files, by both the soft and the hard limit.
    pub fn files(mut self, most: u32) -> Self {
        self.files = Some(most);
        self
    }

    /// Makes a write to a file that may not grow fail, where it would kill the gateway.
    pub fn no_signal_for_large_files(mut self) -> Self {
        self.ignores_large_files = true;
        self
    }

    /// Makes its standard error a pipe that nobody reads.
    pub fn stuck_log(mut self) -> Self {
        self.log_is_stuck = true;
        self
    }

    /// Logs everything.
    pub fn trace(self) -> Self {
        self.set("GATEWAY_LOG", "trace")
    }
}

impl From<Registry> for GatewayOptions {
    fn from(registry: Registry) -> Self {
        Self::new(registry)
    }
}

impl From<RedisDriver> for GatewayOptions {
    /// Makes options on SQLite, with this form of the Redis driver.
    fn from(driver: RedisDriver) -> Self {
        Self::default().plugins(driver.into())
    }
}

impl Default for GatewayOptions {
    /// Makes options on SQLite.
    fn default() -> Self {
        Self::new(Registry::Sqlite)
    }
}
