//! The server's settings, and its version.

use super::{Name, Resource, list, selection::bind_page, show};
use crate::{Postgres, prefix::Prefix, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use studio_plugin_api::{Context, DriverError, Operations, RawJson};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/config", list::<F, Settings>)
        .read()
        .summary("List the server's settings")
        .get("/config/version", version::<F>)
        .read()
        .summary("Show the server's version")
}

/// Settings, as they are for a session of the connection's user.
struct Settings;

/// Which of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Filters {
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
}

const SELECT: &str = "\
select name, setting, category, split_part(category, ' / ', 1) as group, split_part(category, ' / ', 2) as subgroup,
  unit, short_desc, extra_desc, context, vartype, source, min_val, max_val, enumvals, boot_val, reset_val, sourcefile,
  sourceline, pending_restart
from pg_catalog.pg_settings";

const VERSION: &str = "\
select pg_catalog.version() as version, pg_catalog.current_setting('server_version_num')::int4 as version_number,
  (select count(*) from pg_catalog.pg_stat_activity) as active_connections,
  pg_catalog.current_setting('max_connections')::int4 as max_connections";

impl Resource for Settings {
    const NAME: &'static str = "setting";
    type Filters = Filters;
    type Key = Name;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let text = format!("{SELECT} order by category, name limit $1::bigint offset $2::bigint");
        Ok(bind_page(Statement::new(text), filters.limit, filters.offset))
    }

    fn one(key: &Name) -> Statement {
        Statement::new(format!("{SELECT} where name = $1")).bind(key.0.clone())
    }
}

async fn version<F: Prefix>(context: Context<Postgres>) -> Result<RawJson, DriverError> {
    show::<F>(&context, VERSION).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_in_pages() {
        let statement = Settings::list(&Filters { limit: Some(2), offset: Some(1) }).unwrap();
        assert_eq!(statement.parameters, [Some("2".to_owned()), Some("1".to_owned())]);
    }
}
