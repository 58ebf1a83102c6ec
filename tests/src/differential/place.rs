//! Places in a request where an id goes, which differs from database to database: `{class:public.users}`.

use crate::postgres_database::PostgresDatabase;
use serde_json::Value;

/// The kinds of things that can be named, and the query for the id of each.
const KINDS: [(&str, &str); 9] = [
    ("class", "select $name$::regclass::oid::text"),
    ("function", "select $name$::regprocedure::oid::text"),
    ("type", "select $name$::regtype::oid::text"),
    ("schema", "select oid::text from pg_namespace where nspname = $name$"),
    ("role", "select oid::text from pg_roles where rolname = $name$"),
    ("policy", "select oid::text from pg_policy where polname = $name$"),
    ("trigger", "select oid::text from pg_trigger where tgname = $name$ and not tgisinternal"),
    ("publication", "select oid::text from pg_publication where pubname = $name$"),
    ("index", "select oid::text from pg_class where relname = $name$ and relkind in ('i', 'I')"),
];

/// Puts ids into the places of a text. A thing that does not exist gets the id 1, which nothing has.
pub(super) async fn fill(database: &PostgresDatabase, text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((start, kind, name, after)) = next_place(rest) {
        filled.push_str(&rest[..start]);
        let query = KINDS.iter().find(|(known, _)| *known == kind).expect("a kind of place").1;
        let query = query.replace("$name$", &format!("'{}'", name.replace('\'', "''")));
        let found = database.try_texts(&query).await.unwrap_or_default();
        filled.push_str(found.first().map_or("1", String::as_str));
        rest = &rest[after..];
    }
    filled + rest
}

/// Puts ids into the places in all strings of a body; a string that is a place and nothing more becomes a number.
pub(super) async fn fill_all(database: &PostgresDatabase, body: &Value) -> Value {
    match body {
        Value::String(text) => {
            let filled = fill(database, text).await;
            let whole =
                next_place(text).is_some_and(|(start, _, _, after)| start == 0 && after == text.len());
            if whole { filled.parse::<u64>().unwrap().into() } else { filled.into() }
        }
        Value::Array(items) => {
            let mut filled = Vec::new();
            for item in items {
                filled.push(Box::pin(fill_all(database, item)).await);
            }
            filled.into()
        }
        Value::Object(fields) => {
            let mut filled = serde_json::Map::new();
            for (name, field) in fields {
                filled.insert(name.clone(), Box::pin(fill_all(database, field)).await);
            }
            filled.into()
        }
        other => other.clone(),
    }
}

/// Finds the next place: its start, its kind and name, and its end.
fn next_place(text: &str) -> Option<(usize, &str, &str, usize)> {
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|found| from + found) {
        let inner = &text[start + 1..];
        if let (Some(colon), Some(end)) = (inner.find(':'), inner.find('}'))
            && colon < end
            && KINDS.iter().any(|(kind, _)| *kind == &inner[..colon])
        {
            return Some((start, &inner[..colon], &inner[colon + 1..end], start + end + 2));
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_other_braces() {
        assert_eq!(next_place("/tables/{class:public.users}/x"), Some((8, "class", "public.users", 28)));
        assert_eq!(next_place("{a: 1} {role:x}"), Some((7, "role", "x", 15)));
        assert_eq!(next_place("select '{1,2}'::int[]"), None);
    }
}
