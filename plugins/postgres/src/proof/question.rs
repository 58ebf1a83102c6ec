//! What the catalogs say of a statement's needs.

use super::needs::Needs;
use crate::statement::Statement;

/// Tells why it can't be proved that a statement leaves nothing behind, in one word that is null where it is proved, and
/// what its tables look like.
///
/// - `function`: a name that is called is not only that of functions which PostgreSQL itself brings. These must give one
///   value, may not be volatile unless they are of [`HARMLESS`], take nothing as `cstring` or `internal`, behind which
///   other types' functions are, and be written in C, or in SQL that was bound when they were made.
/// - `column`: the same for what is read of a row. A domain over a row's type may be read so too.
/// - `operator`: a name that is also that of an operator which was added. One between two added base types does not
///   count: without an implicit cast to one of them, no value of the statement's types becomes one.
/// - `relation`: something else than a table whose rows are read as they are stored; so for all that inherit from it,
///   and it from.
/// - `expression`: an index, constraint or statistics object that calls what was added. PostgreSQL computes constant
///   parts of them when it plans.
/// - `type`: a domain, or a type with functions of its own. Enumerations have none.
/// - `cast`: an added cast, order or equality of PostgreSQL's own types, or of the statement's; or a type that calls a
///   function when it is named, as values of `regtype` do.
/// - `write`: a trigger, a CHECK, a sequence, a default that calls what is not proved, or a catalog that is written to.
pub(super) fn question(needs: &Needs) -> Statement {
    let Needs { functions, columns, operators, types, relations, own_relations, writes } = needs;
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let is_optional = relations
        .iter()
        .map(|relation| (relation.schema.is_empty() && own_relations.contains(&relation.name)).to_string());
    Statement::new(include_str!("question.sql"))
        .bind_list(Some(&texts(HARMLESS)))
        .bind_list(Some(&texts(REACHING_FURTHER)))
        .bind_list(Some(&list(functions.iter())))
        .bind_list(Some(&list(columns.iter())))
        .bind_list(Some(&list(operators.iter())))
        .bind_list(Some(&list(types.iter())))
        .bind_list(Some(&list(relations.iter().map(|relation| &relation.schema))))
        .bind_list(Some(&list(relations.iter().map(|relation| &relation.name))))
        .bind_list(Some(&is_optional.collect::<Vec<_>>()))
        .bind(writes.to_string())
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.cloned().collect()
}

/// The volatile ones of PostgreSQL's own that change nothing, a sequence of random numbers included.
const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "gen_random_uuid",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_relation_size",
    "pg_sleep",
    "pg_table_size",
    "pg_total_relation_size",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// The ones that PostgreSQL calls stable or immutable, and that do more than compute: they take a transaction's number,
/// make a schema for temporary tables, read a type or table by a name that is a value.
const REACHING_FURTHER: &[&str] = &[
    "current_schema",
    "current_schemas",
    "pg_current_xact_id",
    "pg_input_error_info",
    "pg_input_is_valid",
    "satisfies_hash_partition",
    "txid_current",
];
