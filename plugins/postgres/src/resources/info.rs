//! What the server says of itself: `GET /info`, which postgres-meta has not.

use super::show;
use crate::{Postgres, prefix::Enveloped};
use studio_plugin_api::{Context, DriverError, Operations, RawJson};

/// The operation, of the one prefix that has it.
pub(crate) fn operations(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations.get("/info", info).read().summary("Show the server's version, size and load")
}

/// Sessions of others are counted by state only as far as the user may see that: by `pg_monitor`, or as a superuser.
const INFO: &str = "\
select pg_catalog.current_setting('server_version') as version,
  pg_catalog.date_part('epoch', clock_timestamp() - pg_catalog.pg_postmaster_start_time())::int8 as uptime_seconds,
  pg_catalog.current_database() as database, current_user as user,
  pg_catalog.pg_database_size(pg_catalog.current_database()) as database_size,
  pg_catalog.pg_is_in_recovery() as is_replica,
  pg_catalog.current_setting('server_encoding') as encoding,
  pg_catalog.current_setting('TimeZone') as time_zone,
  (
    select json_build_object(
      'current', count(*),
      'active', count(*) filter (where state = 'active'),
      'idle', count(*) filter (where state = 'idle'),
      'idle_in_transaction', count(*) filter (where state like 'idle in transaction%'),
      'to_this_database', count(*) filter (where datname = pg_catalog.current_database()),
      'max', pg_catalog.current_setting('max_connections')::int4
    )
    from pg_catalog.pg_stat_activity where backend_type = 'client backend'
  ) as connections";

async fn info(context: Context<Postgres>) -> Result<RawJson, DriverError> {
    show::<Enveloped>(&context, INFO).await
}
