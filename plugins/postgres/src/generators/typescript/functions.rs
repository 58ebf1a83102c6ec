//! Functions in TypeScript, as far as PostgREST can call them.

use super::{
    super::database::{Argument, Function},
    Database, Kind, Relation, key,
    layout::{Layout, text},
    types,
};

/// The functions of a schema, by name; those of one name as alternatives.
pub(super) fn write_functions(database: &Database<'_>, schema: &str) -> Vec<(String, Layout)> {
    let callable: Vec<_> = database
        .functions
        .iter()
        .filter(|function| function.schema == schema && is_callable(database, function))
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
            && inputs.next().is_some_and(|argument| is_row_of(argument, relation))
            && inputs.next().is_none()
    });
    of_row
        .map(|function| (key(&function.name), types::or_null(returned(database, function, false))))
        .collect()
}

fn is_row_of(argument: &Argument, relation: &Relation) -> bool {
    argument.type_name.schema == relation.schema && argument.type_name.name == relation.name
}

fn inputs(function: &Function) -> impl Iterator<Item = &Argument> {
    function.arguments.iter().filter(|argument| argument.is_input())
}

/// PostgREST names arguments; without a name it passes one alone: a body, or a row.
fn is_callable(database: &Database<'_>, function: &Function) -> bool {
    let mut unnamed = inputs(function).filter(|argument| argument.name.is_empty());
    match (unnamed.next(), inputs(function).count()) {
        (None, _) => true,
        (Some(argument), 1) => {
            matches!(argument.type_name.name.as_str(), "json" | "jsonb" | "text")
                || database.relation(argument.relation).is_some()
        }
        _ => false,
    }
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
    match mistake(database, function, overloads) {
        Some(message) => members.push(("Returns".to_owned(), Layout::Mistake(text(&message)))),
        None => {
            members.push(("Returns".to_owned(), returned(database, function, function.returns_set)));
            members
                .extend(set_options(database, function).map(|options| ("SetofOptions".to_owned(), options)));
        }
    }
    Layout::Inline(members)
}

/// Why PostgREST will not call a function.
fn mistake(database: &Database<'_>, function: &Function, overloads: &[&Function]) -> Option<String> {
    let own: Vec<_> = inputs(function).collect();
    if let [argument] = own.as_slice()
        && argument.name.is_empty()
        && database.relation(argument.relation).is_some()
        && database.relation(function.returns_relation).is_none()
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
    // The same names, and types that differ: the names alone do not tell which one is meant.
    let is_rival = |other: &&&Function| {
        let others: Vec<_> = inputs(other).collect();
        let same_names =
            own.iter().map(|argument| &argument.name).eq(others.iter().map(|argument| &argument.name));
        let types = |arguments: &[&Argument]| {
            let types = arguments.iter().map(|argument| types::type_of(database, &argument.type_name));
            types.map(|layout| format!("{layout:?}")).collect::<Vec<_>>()
        };
        same_names && own.iter().all(|argument| !argument.name.is_empty()) && types(&own) != types(&others)
    };
    let rivals: Vec<_> = overloads.iter().filter(is_rival).collect();
    if rivals.is_empty() {
        return None;
    }
    let candidates = overloads.iter().filter(|other| std::ptr::eq(**other, function) || is_rival(other)).map(
        |candidate| {
            let arguments =
                inputs(candidate).map(|argument| format!("{} => {}", argument.name, argument.type_name.name));
            let arguments = arguments.collect::<Vec<_>>().join(", ");
            format!("{}.{}({arguments})", candidate.schema, candidate.name)
        },
    );
    let candidates = candidates.take_while(|candidate| database.budget.spend(candidate.len()));
    Some(format!(
        "Could not choose the best candidate function between: {}. Try renaming the parameters or the function \
         itself in the database so function overloading can be resolved",
        candidates.collect::<Vec<_>>().join(", ")
    ))
}

/// What a function gives; `many` for a set of it.
fn returned(database: &Database<'_>, function: &Function, many: bool) -> Layout {
    let columns: Vec<_> = function
        .arguments
        .iter()
        .filter(|argument| argument.is_table_column())
        .map(|argument| (key(&argument.name), types::type_of(database, &argument.type_name)))
        .collect();
    let one = match database.relation(function.returns_relation) {
        _ if !columns.is_empty() => Layout::Object(columns),
        Some(relation) => Layout::Object(types::row(database, relation)),
        None => types::type_of(database, &function.returns),
    };
    match many && !(function.returns_one_row && database.relation(function.returns_relation).is_some()) {
        true => Layout::Array(Box::new(one)),
        false => one,
    }
}

/// How the rows of a function can be asked for on.
fn set_options(database: &Database<'_>, function: &Function) -> Option<Layout> {
    let found = database.type_named(&function.returns)?;
    if !matches!(found.kind(), Kind::Composite | Kind::Table | Kind::View)
        || !database.has_schema(&found.schema)
    {
        return None;
    }
    let rows: Vec<_> =
        inputs(function).filter(|argument| database.relation(argument.relation).is_some()).collect();
    let from = rows.first().map_or("*", |argument| argument.format.as_str());
    let one = !function.returns_set || function.returns_one_row;
    Some(Layout::Object(vec![
        ("from".to_owned(), Layout::Word(text(from))),
        ("to".to_owned(), Layout::Word(text(&found.name))),
        ("isOneToOne".to_owned(), Layout::word(one.to_string())),
        ("isSetofReturn".to_owned(), Layout::word(function.returns_set.to_string())),
    ]))
}
