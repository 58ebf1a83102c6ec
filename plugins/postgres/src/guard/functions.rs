//! Which functions a viewer may not call.
//!
//! A function written in a trusted language runs in the READ ONLY transaction, as any SQL of the viewer's would. One in C
//! does as it likes, but what PostgreSQL calls stable or immutable does no more than read: so volatile functions in C are
//! refused, and those that extensions wrap around them, unless they are known to be harmless. The few that are called
//! stable and yet run SQL that is given as text are refused too, and those that take a transaction's number, of which a
//! server has so many until it must be vacuumed.
//!
//! A trusted function that runs a text (`EXECUTE` of PL/pgSQL, any language but SQL and PL/pgSQL) would run a viewer's with
//! the rights of its caller or its owner. So functions are followed to what they call themselves, by the names before
//! parentheses in their sources and by what the catalogs say that they depend on.

use super::inspect::Mentioned;
use crate::statement::Statement;

/// The volatile ones of PostgreSQL's own that only read, or do nothing to anyone else. `pg_stat_get_…` are so too.
pub(super) const HARMLESS: &[&str] = &[
    // Chance and time.
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "gen_random_uuid",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
    // Sizes.
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    // The state of the server.
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_get_wal_replay_pause_state",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_prepared_xact",
    "pg_safe_snapshot_blocking_pids",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "txid_status",
    // The catalogs, and what is stored.
    "amvalidate",
    "current_query",
    "currval",
    "lastval",
    "lo_get",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_sequence_last_value",
];

/// Extensions whose volatile functions make random values, and no more.
const HARMLESS_EXTENSIONS: &[&str] = &["pgcrypto", "uuid-ossp"];

/// What is called stable in C, and runs SQL given as text: of the extensions tablefunc and xml2, by the names in their
/// libraries, because tablefunc has its users declare functions of their own for `crosstab`.
const RUN_TEXT: &[&str] =
    &["connectby_text", "connectby_text_serial", "crosstab", "crosstab_hash", "xpath_table"];

/// What is called stable in PostgreSQL's own, and takes a number for the transaction.
const TAKE_NUMBERS: &[&str] = &["pg_current_xact_id", "txid_current"];

/// Asks which of what is mentioned leads to a function that a viewer may not call, and how many names were looked at: one
/// row. Whatever the search path, a name without a schema is that of any function that has it.
pub(super) fn question(mentioned: &Mentioned) -> Statement {
    let Mentioned { called, operators, types } = mentioned;
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let schemas: Vec<_> = called.iter().map(|called| called.schema.clone().unwrap_or_default()).collect();
    let names: Vec<_> = called.iter().map(|called| called.name.clone()).collect();
    Statement::new(QUESTION)
        .bind_list(Some(&schemas))
        .bind_list(Some(&names))
        .bind_list(Some(&texts(HARMLESS)))
        .bind_list(Some(&texts(HARMLESS_EXTENSIONS)))
        .bind_list(Some(&texts(RUN_TEXT)))
        .bind_list(Some(&texts(TAKE_NUMBERS)))
        .bind_list(Some(operators))
        .bind_list(Some(types))
}

const QUESTION: &str = "\
with recursive called (schema, name) as (
  select * from unnest($1::text[], $2::text[])
),
reached (oid) as (
  select started.oid from (
    select function.oid
    from called
    join pg_proc function on function.proname = called.name::name
    join pg_namespace namespace on namespace.oid = function.pronamespace
    where called.schema = '' or called.schema = namespace.nspname
    union all
    select operator.oprcode::oid from pg_operator operator
    where operator.oprname = any ($7::name[]) and operator.oprnamespace <> 'pg_catalog'::regnamespace
    union all
    select conversion.castfunc from pg_type type
    join pg_cast conversion on type.oid in (conversion.castsource, conversion.casttarget)
    where type.typname = any ($8::name[]) and type.typnamespace <> 'pg_catalog'::regnamespace
      and conversion.castfunc <> 0
    union all
    select checked.refobjid from pg_type type
    join pg_constraint restriction on restriction.contypid = type.oid
    join pg_depend checked on checked.classid = 'pg_constraint'::regclass and checked.objid = restriction.oid
      and checked.refclassid = 'pg_proc'::regclass
    where type.typname = any ($8::name[]) and type.typnamespace <> 'pg_catalog'::regnamespace
  ) started
  union
  select next.oid from reached
  join pg_proc caller on caller.oid = reached.oid and caller.pronamespace <> 'pg_catalog'::regnamespace
  join pg_language language on language.oid = caller.prolang
  cross join lateral (
    select function.oid
    from regexp_matches(
      case when language.lanname in ('sql', 'plpgsql') then caller.prosrc else '' end,
      '([[:alnum:]_$]+)\"?\\s*\\(', 'g'
    ) as word (parts)
    join pg_proc function on function.proname in (word.parts[1]::name, lower(word.parts[1])::name)
    union all
    select used.refobjid from pg_depend used
    where used.classid = 'pg_proc'::regclass and used.objid = caller.oid and used.refclassid = 'pg_proc'::regclass
  ) next
)
select min(namespace.nspname || '.' || function.proname) as function, (select count(*) from called) as asked
from reached
join pg_proc function on function.oid = reached.oid
join pg_namespace namespace on namespace.oid = function.pronamespace
join pg_language language on language.oid = function.prolang
left join (
  pg_depend member join pg_extension extension on extension.oid = member.refobjid
) on member.classid = 'pg_proc'::regclass and member.objid = function.oid
  and member.refclassid = 'pg_extension'::regclass and member.deptype = 'e'
where function.provolatile = 'v'
  and (not language.lanpltrusted or extension.oid is not null)
  and not (
    namespace.nspname = 'pg_catalog'
    and (function.proname = any ($3::text[]) or function.proname like 'pg\\_stat\\_get\\_%')
  )
  and (extension.extname = any ($4::text[])) is not true
  or language.lanname = 'c' and function.prosrc = any ($5::text[])
  or namespace.nspname = 'pg_catalog' and function.proname = any ($6::text[])
  or language.lanname not in ('internal', 'c', 'sql', 'plpgsql')
  or language.lanname = 'plpgsql' and function.prosrc ~* '\\mexecute\\M'";
