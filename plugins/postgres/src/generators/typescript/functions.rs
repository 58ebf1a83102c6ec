//! Functions in TypeScript, as far as PostgREST can call them.

use super::{
    super::rows::{Argument, Function},
    Database, Relation, key,
    layout::{Layout, text},
    types,
};

/// The functions of a schema, by name; those of one name as alternatives.
pub(super) fn write_functions(database: &Database<'_>, schema: &str) -> Vec<(String, Layout)> {
    let callable: Vec<_> = database
        .functions
        .iter()
        .filter(|function| function.schema == schema && is_callable(function))
        .collect();
    let of_one_name = callable.chunk_by(|one, other| one.name == other.name);
    of_one_name
        .filter_map(|overloads| {
            let mut written: Vec<_> =
                overloads.iter().map(|function| write_function(database, function, overloads)).collect();
            let layout = if written.len() == 1 { written.pop()? } else { Layout::Union(written) };
            Some((key(&overloads.first()?.name), layout))
        })
        .collect()
}

/// What a row has besides its columns: functions that take it, and nothing else.
pub(super) fn computed_fields(database: &Database<'_>, relation: &Relation) -> Vec<(String, Layout)> {
    let of_row = database.functions.iter().filter(|function| {
        let mut inputs = inputs(function);
        function.schema == relation.schema
            && inputs.next().is_some_and(|argument| argument.relation == relation.id)
            && inputs.next().is_none()
    });
    of_row.map(|function| (key(&function.name), types::or_null(returned(database, function)))).collect()
}

fn inputs(function: &Function) -> impl Iterator<Item = &Argument> {
    function.arguments.iter().filter(|argument| argument.is_input())
}

/// PostgREST names arguments; without a name it passes one alone: a body, or a row. Others have to have defaults.
fn is_callable(function: &Function) -> bool {
    let is_body = |argument: &Argument| {
        argument.type_name.schema == "pg_catalog"
            && matches!(argument.type_name.name.as_str(), "json" | "jsonb" | "text")
    };
    let is_alone = inputs(function).count() == 1;
    let mut unnamed = inputs(function).filter(|argument| argument.name.is_empty());
    unnamed.all(|argument| match is_alone {
        true => is_body(argument) || argument.is_row(),
        false => is_body(argument) && argument.optional,
    })
}

fn write_function(database: &Database<'_>, function: &Function, overloads: &[&Function]) -> Layout {
    let arguments: Vec<_> = inputs(function)
        .map(|argument| {
            let mark = if argument.optional { "?" } else { "" };
            (key(&argument.name) + mark, types::type_of(database, &argument.type_name))
        })
        .collect();
    let arguments = match arguments.is_empty() {
        true => Layout::word("Record<PropertyKey, never>"),
        false => Layout::Inline(arguments),
    };
    let mut members = vec![("Args".to_owned(), arguments)];
    let is_list = function.returns_set && (function.returns_many_rows || function.returns_relation == 0);
    let returns = match mistake(database, function, overloads) {
        Some(message) => Layout::Mistake(text(&message) + if is_list { "[]" } else { "" }),
        None if is_list => Layout::Array(Box::new(returned(database, function))),
        None => returned(database, function),
    };
    members.push(("Returns".to_owned(), returns));
    members.extend(set_options(function).map(|options| ("SetofOptions".to_owned(), options)));
    Layout::Inline(members)
}

/// Why PostgREST will not call a function.
fn mistake(database: &Database<'_>, function: &Function, overloads: &[&Function]) -> Option<String> {
    let own: Vec<_> = inputs(function).collect();
    if let [argument] = own.as_slice()
        && argument.name.is_empty()
        && argument.is_row()
        && function.returns_relation == 0
    {
        return Some(format!(
            "the function {}.{} with parameter or with a single unnamed json/jsonb parameter, but no matches were \
             found in the schema cache",
            function.schema, function.name
        ));
    }
    // Each is compared with each.
    if !database.budget.spend(overloads.len()) {
        return None;
    }
    let name = format!("{}.{}", function.schema, function.name);
    let candidates = match own.as_slice() {
        [] => {
            let rival = overloads.iter().find(|other| {
                let others: Vec<_> = inputs(other).collect();
                matches!(others.as_slice(), [argument] if argument.name.is_empty() && argument.optional)
            })?;
            format!("{name}(), {name}( => {})", rival.returns.name)
        }
        // The same name, and types that differ: the name alone does not tell which one is meant.
        [argument] if !argument.name.is_empty() => {
            let mut rivals: Vec<_> = overloads
                .iter()
                .filter_map(|other| {
                    let mut others = inputs(other);
                    let first = others.next().filter(|first| first.name == argument.name)?;
                    others.next().is_none().then_some(first)
                })
                .collect();
            if rivals.iter().all(|rival| rival.type_id == argument.type_id) {
                return None;
            }
            rivals.sort_by_key(|rival| rival.type_id);
            let rivals =
                rivals.iter().map(|rival| format!("{name}({} => {})", rival.name, rival.type_name.name));
            let rivals = rivals.take_while(|rival| database.budget.spend(rival.len()));
            rivals.collect::<Vec<_>>().join(", ")
        }
        _ => return None,
    };
    Some(format!(
        "Could not choose the best candidate function between: {candidates}. Try renaming the parameters or the function \
         itself in the database so function overloading can be resolved"
    ))
}

/// What a function gives, or each of a set. Rows are written out where their relation is in the function's own schema.
fn returned(database: &Database<'_>, function: &Function) -> Layout {
    let columns: Vec<_> = function
        .arguments
        .iter()
        .filter(|argument| argument.is_table_column())
        .map(|argument| (key(&argument.name), types::type_of(database, &argument.type_name)))
        .collect();
    match database.relation(function.returns_relation) {
        _ if !columns.is_empty() => Layout::Object(columns),
        Some(relation) if relation.schema == function.schema => {
            Layout::Object(types::row(database, relation))
        }
        _ => types::type_of(database, &function.returns),
    }
}

/// How the rows of a function can be asked for on.
fn set_options(function: &Function) -> Option<Layout> {
    if function.returns_relation == 0 {
        return None;
    }
    let from = match function.arguments.as_slice() {
        [argument] if argument.is_row() => argument.format.as_str(),
        _ => "*",
    };
    Some(Layout::Object(vec![
        ("from".to_owned(), Layout::Word(text(from))),
        ("to".to_owned(), Layout::Word(text(&function.returns.name))),
        ("isOneToOne".to_owned(), Layout::word((!function.returns_many_rows).to_string())),
        ("isSetofReturn".to_owned(), Layout::word(function.returns_set.to_string())),
    ]))
}
