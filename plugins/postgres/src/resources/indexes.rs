//! Indexes of tables and materialized views.

use super::{
    Oid, Resource, list, read,
    selection::{InSchemas, in_schemas},
};
use crate::{Postgres, prefix::Prefix, statement::Statement};
use std::marker::PhantomData;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/indexes", list::<F, Indexes<F>>)
        .read()
        .summary("List indexes")
        .get("/indexes/{id}", read::<F, Indexes<F>>)
        .read()
        .summary("Show an index")
}

/// Indexes, as a prefix shows them.
struct Indexes<F>(PhantomData<F>);

/// The query for indexes, given a condition on `index` (`pg_index`) and `namespace` (`pg_namespace`).
///
/// postgres-meta takes the numbers of the table's columns for numbers of the index's, and so has but some of its columns,
/// and only those indexes where that leaves any. It shows predicates as PostgreSQL stores them.
fn query<F: Prefix>(condition: &str) -> String {
    let (predicate, shown) = match F::INDEXES_AS_POSTGRES_META {
        true => ("index.indpred::text", "attribute.attnum = any (index.indkey)"),
        false => ("pg_catalog.pg_get_expr(index.indpred, index.indrelid)", "true"),
    };
    format!(
        "select index.indexrelid::int8 as id, index.indrelid::int8 as table_id, namespace.nspname as schema, \
           index.indnatts as number_of_attributes, index.indnkeyatts as number_of_key_attributes, \
           index.indisunique as is_unique, index.indisprimary as is_primary, \
           index.indisexclusion as is_exclusion, index.indimmediate as is_immediate, \
           index.indisclustered as is_clustered, index.indisvalid as is_valid, index.indcheckxmin as check_xmin, \
           index.indisready as is_ready, index.indislive as is_live, index.indisreplident as is_replica_identity, \
           index.indkey::int2[] as key_attributes, index.indcollation::oid[] as collation, \
           index.indclass::oid[] as class, index.indoption::int2[] as options, {predicate} as index_predicate, \
           note.description as comment, pg_catalog.pg_get_indexdef(index.indexrelid) as index_definition, \
           method.amname as access_method, attributes.list as index_attributes \
         from pg_catalog.pg_index as index \
         join pg_catalog.pg_class as relation on relation.oid = index.indexrelid \
         join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
         join pg_catalog.pg_class as owner on owner.oid = index.indrelid and owner.relkind <> 't' \
         join pg_catalog.pg_am as method on method.oid = relation.relam \
         join (\
           select index.indexrelid, json_agg(json_build_object('attribute_number', attribute.attnum, \
             'attribute_name', attribute.attname, \
             'data_type', pg_catalog.format_type(attribute.atttypid, attribute.atttypmod)) \
             order by attribute.attnum) as list \
           from pg_catalog.pg_index as index \
           join pg_catalog.pg_attribute as attribute on attribute.attrelid = index.indexrelid \
           where {shown} group by index.indexrelid\
         ) as attributes on attributes.indexrelid = index.indexrelid \
         left join pg_catalog.pg_description as note on note.objoid = index.indexrelid \
           and note.classoid = 'pg_catalog.pg_class'::regclass and note.objsubid = 0 \
         where {condition}"
    )
}

impl<F: Prefix> Resource for Indexes<F> {
    /// postgres-meta's sentence has the article of all others: "Cannot find a index with ID 1".
    const NAME: &'static str = "index";
    type Filters = InSchemas;
    type Key = Oid;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let indexes = query::<F>(&in_schemas("namespace.nspname"));
        let text = format!("{indexes} order by index.indexrelid limit $3::bigint offset $4::bigint");
        Ok(filters.bind_page(filters.bind_schemas(Statement::new(text))))
    }

    fn one(key: &Oid) -> Statement {
        Statement::new(query::<F>("index.indexrelid = $1::oid")).bind(key.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::{Bare, Enveloped};

    #[test]
    fn only_the_bare_face_leaves_out_what_postgres_meta_does() {
        let shown = |statement: Statement| statement.text.contains("any (index.indkey)");
        assert!(shown(Indexes::<Bare>::one(&Oid(1))));
        assert!(!shown(Indexes::<Enveloped>::one(&Oid(1))));
    }

    #[test]
    fn pages_and_schemas_are_parameters() {
        let filters = InSchemas { limit: Some(3), ..InSchemas::default() };
        let statement = Indexes::<Enveloped>::list(&filters).unwrap();
        assert_eq!(statement.parameters.get(2..), Some(&[Some("3".to_owned()), None][..]));
    }
}
