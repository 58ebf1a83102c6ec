//! How a caller of `postgres/` wants a query run and answered.

use super::Times;
use crate::results::Shape;
use schemars::JsonSchema;
use serde::Deserialize;

/// The query parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct Manner {
    /// Seconds that one statement may take on the server.
    #[serde(rename = "statementTimeoutSecs")]
    #[schemars(range(min = 0, max = 86_400))]
    statement_timeout_secs: Option<f64>,
    /// Seconds that the caller waits for all of it.
    #[serde(rename = "queryTimeoutSecs")]
    #[schemars(range(min = 0, max = 86_400))]
    query_timeout_secs: Option<f64>,
    /// What a row is.
    rows_as: RowsAs,
}

/// What a row is.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "studio_plugin_api::schemars")]
enum RowsAs {
    /// An object. The second column of a name has another one there, which is the `key` of its field.
    #[default]
    Objects,
    /// An array of values, in the order of `fields`.
    Arrays,
}

impl Manner {
    pub(super) fn shape(&self) -> Shape {
        match self.rows_as {
            RowsAs::Objects => Shape::Objects,
            RowsAs::Arrays => Shape::Arrays,
        }
    }

    pub(super) fn times(&self) -> Times {
        Times {
            statement_timeout_secs: self.statement_timeout_secs,
            query_timeout_secs: self.query_timeout_secs,
        }
    }
}
