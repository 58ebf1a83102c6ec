//! Views, materialized views and foreign tables: shown, and changed by SQL alone.

use super::{
    Oid, Resource, list, read,
    relations::{Filters, Relations},
};
use crate::{Postgres, lenient::Reading, prefix::Prefix, statement::Statement};
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resources' operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/views", list::<F, Views>)
        .read()
        .summary("List views")
        .get("/views/{id}", read::<F, Views>)
        .read()
        .summary("Show a view")
        .get("/materialized-views", list::<F, MaterializedViews>)
        .read()
        .summary("List materialized views")
        .get("/materialized-views/{id}", read::<F, MaterializedViews>)
        .read()
        .summary("Show a materialized view")
        .get("/foreign-tables", list::<F, ForeignTables>)
        .read()
        .summary("List foreign tables")
        .get("/foreign-tables/{id}", read::<F, ForeignTables>)
        .read()
        .summary("Show a foreign table")
}

macro_rules! relations {
    ($(#[$docs:meta])* $type:ident, $name:literal, $kinds:literal, $lists_columns:literal, $fields:literal) => {
        $(#[$docs])*
        struct $type;

        impl $type {
            const RELATIONS: Relations = Relations {
                fields: $fields,
                kinds: $kinds,
                // postgres-meta shows them to everyone, and of their columns those that one has a right to.
                visible: "true",
                lists_columns: $lists_columns,
                measured: "",
                lists: &[],
            };
        }

        impl Resource for $type {
            const NAME: &'static str = $name;
            type Filters = Filters;
            type Key = Oid;
            const LISTS: Reading = Reading::Checked;

            fn list(filters: &Filters) -> Result<Statement, DriverError> {
                Ok(Self::RELATIONS.list(filters))
            }
            fn one(key: &Oid) -> Statement {
                Self::RELATIONS.one(key.0)
            }
        }
    };
}

relations!(
    /// Views. Updatable are those that both `UPDATE` (4) and `DELETE` (16) work on.
    Views, "view", "'v'", true,
    ", (pg_catalog.pg_relation_is_updatable(relation.oid, false) & 20) = 20 as is_updatable\
     , pg_catalog.obj_description(relation.oid, 'pg_class') as comment"
);
relations!(
    /// Materialized views.
    MaterializedViews, "materialized view", "'m'", false,
    ", relation.relispopulated as is_populated\
     , pg_catalog.obj_description(relation.oid, 'pg_class') as comment"
);
relations!(
    /// Foreign tables.
    ForeignTables, "foreign table", "'f'", true,
    ", pg_catalog.obj_description(relation.oid, 'pg_class') as comment"
);
