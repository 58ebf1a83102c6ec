//! What tables, views, materialized views and foreign tables have in common: each is a relation with columns.

use super::{
    columns,
    selection::{InSchemas, bind_any_page, in_schemas},
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
    /// The lists that each one has before its columns.
    pub(super) lists: &'static [ListOfEach],
}

/// A list that each relation of a kind has.
pub(super) struct ListOfEach {
    /// The field's name.
    pub(super) name: &'static str,
    /// The query for the items, given a condition on their `relation` and `namespace` (`pg_namespace`). Its first column is
    /// the relation's number.
    pub(super) query: fn(&str) -> String,
}

/// Which of a list.
const PAGE: &str = "order by relation.oid limit $3::int8 offset $4::int8";

impl Relations {
    /// The query for a list.
    pub(super) fn list(&self, filters: &Filters) -> Statement {
        let schemas = filters.schemas();
        let (condition, (limit, offset)) = (in_schemas("namespace.nspname"), (schemas.limit, schemas.offset));
        let bind = |text| schemas.bind_schemas(Statement::new(text));
        let bind_page = |text| bind_any_page(bind(text), limit, offset);
        let relations = bind_page(self.query(&condition, PAGE));
        let with_columns = filters.include_columns.unwrap_or(self.lists_columns);
        // Of a list that is cut nowhere, a relation's number is not looked for in it.
        match (limit, offset) {
            (None | Some(0), None | Some(0)) => self.with_lists(relations, with_columns, &condition, bind),
            _ => {
                let page = format!("relation.oid in ({})", self.find("relation.oid", &condition, PAGE));
                self.with_lists(relations, with_columns, &page, bind_page)
            }
        }
    }

    /// The query for one, by its number.
    pub(super) fn one(&self, oid: u32) -> Statement {
        let (condition, bind) = ("relation.oid = $1::oid", |text| Statement::new(text).bind(oid.to_string()));
        self.with_lists(bind(self.query(condition, "")), true, condition, bind)
    }

    /// The query for one, by its name.
    pub(super) fn named(&self, schema: &str, name: &str) -> Statement {
        let condition = "namespace.nspname = $1 and relation.relname = $2";
        let bind = |text| Statement::new(text).bind(schema.to_owned()).bind(name.to_owned());
        self.with_lists(bind(self.query(condition, "")), true, condition, bind)
    }

    fn query(&self, condition: &str, page: &str) -> String {
        let Self { fields, measured, .. } = self;
        let relations = self.find("relation.*, namespace.nspname", condition, page);
        // Rows that are ready before the first is sent come in large pieces, each of which wakes the reader.
        format!(
            "select * from (\
               select relation.oid::int8 as id, relation.nspname as schema, relation.relname as name{fields} \
               from ({relations}) as relation {measured} offset 0\
             ) as shown order by id"
        )
    }

    /// The query for what is selected of `relation` and `namespace`.
    fn find(&self, selected: &str, condition: &str, page: &str) -> String {
        let Self { kinds, visible, .. } = self;
        format!(
            "select {selected} from pg_catalog.pg_class as relation \
             join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
             where relation.relkind in ({kinds}) and {condition} \
             and not pg_catalog.pg_is_other_temp_schema(namespace.oid) and {visible} {page}"
        )
    }

    /// Adds the lists, which may hold what is of no relation that is shown.
    fn with_lists(
        &self,
        mut relations: Statement,
        with_columns: bool,
        condition: &str,
        bind: impl Fn(String) -> Statement,
    ) -> Statement {
        let of_kind = format!("relation.relkind in ({}) and {condition}", self.kinds);
        for list in self.lists {
            relations = relations.with_list(list.name, bind((list.query)(&of_kind)));
        }
        if with_columns {
            let columns = columns::query_for_many("table_id, columns.*", self.kinds, condition);
            relations = relations.with_list("columns", bind(columns));
        }
        relations
    }
}
