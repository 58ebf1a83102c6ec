//! What tables, views, materialized views and foreign tables have in common: each is a relation with columns.

use super::{
    columns,
    selection::{InSchemas, bind_any_page},
};
use crate::statement::Statement;
use schemars::JsonSchema;
use serde::Deserialize;

/// The parameters of a list of relations.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Filters {
    /// The system's own too.
    include_system_schemas: bool,
    /// These schemas alone.
    included_schemas: Option<Vec<String>>,
    /// All schemas but these.
    excluded_schemas: Option<Vec<String>>,
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
    /// Whether to show their columns. Default: true, but for materialized views.
    include_columns: Option<bool>,
}

impl Filters {
    fn schemas(&self) -> InSchemas {
        InSchemas {
            include_system_schemas: self.include_system_schemas,
            included_schemas: self.included_schemas.clone(),
            excluded_schemas: self.excluded_schemas.clone(),
            limit: self.limit,
            offset: self.offset,
        }
    }
}

/// How a kind of relation is asked for.
pub(super) struct Relations {
    /// What the kind has besides `id`, `schema` and `name`: a select list of `relation` (`pg_class`).
    pub(super) fields: &'static str,
    /// What several of those fields need and is dear, joined to `relation` once: `cross join lateral (…) as room`.
    pub(super) measured: &'static str,
    /// Which rows of `pg_class` are of the kind.
    pub(super) kinds: &'static str,
    /// Which of those the user is shown, a condition on `relation`.
    pub(super) visible: &'static str,
    /// Whether a list shows their columns unless told.
    pub(super) lists_columns: bool,
    /// More queries whose results are joined to each one by `things.id`, after its fields and before its columns.
    pub(super) joined: &'static str,
    /// What of those is shown: `, key.columns as primary_keys`.
    pub(super) shown: &'static str,
}

/// The relations among `things`, whose columns are asked for. As a join, it is planned with about the right number of
/// rows.
const THEIRS: &str = "things as it join pg_catalog.pg_class as relation on relation.oid = it.id::oid";

impl Relations {
    /// The query for a list.
    pub(super) fn list(&self, filters: &Filters) -> Statement {
        let condition = super::selection::in_schemas("namespace.nspname");
        let columns = filters.include_columns.unwrap_or(self.lists_columns);
        let text = self.query(&condition, "limit $3::int8 offset $4::int8", columns);
        let schemas = filters.schemas();
        bind_any_page(schemas.bind_schemas(Statement::new(text)), schemas.limit, schemas.offset)
    }

    /// The query for one, by its number.
    pub(super) fn one(&self, oid: u32) -> Statement {
        Statement::new(self.query("relation.oid = $1::oid", "", true)).bind(oid.to_string())
    }

    /// The query for one, by its name.
    pub(super) fn named(&self, schema: &str, name: &str) -> Statement {
        let condition = "namespace.nspname = $1 and relation.relname = $2";
        Statement::new(self.query(condition, "", true)).bind(schema.to_owned()).bind(name.to_owned())
    }

    fn query(&self, condition: &str, page: &str, with_columns: bool) -> String {
        let Self { fields, measured, kinds, visible, joined, shown, .. } = self;
        let (columns, shown_columns) = match with_columns {
            true => (
                format!(
                    "left join (\
                       select table_id, json_agg(c order by ordinal_position) as columns \
                       from ({}) as c group by table_id\
                     ) as its_columns on its_columns.table_id = things.id",
                    columns::query(THEIRS, "true")
                ),
                ", coalesce(its_columns.columns, '[]') as columns",
            ),
            false => (String::new(), ""),
        };
        // Rows that are ready before the first is sent come in large pieces, each of which wakes the reader.
        format!(
            "with things as materialized (\
               select relation.oid::int8 as id, relation.nspname as schema, relation.relname as name{fields} \
               from (\
                 select relation.*, namespace.nspname \
                 from pg_catalog.pg_class as relation \
                 join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
                 where relation.relkind in ({kinds}) and {condition} \
                 and not pg_catalog.pg_is_other_temp_schema(namespace.oid) \
                 and {visible} \
                 order by relation.oid {page}\
               ) as relation {measured}\
             ) \
             select * from (\
               select things.*{shown}{shown_columns} from things {joined} {columns} offset 0\
             ) as shown order by id"
        )
    }
}
