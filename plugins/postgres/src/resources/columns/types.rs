//! Types' names as bodies give them.

use crate::quote::identifier;

/// Names that SQL spells otherwise than the catalog does, and where quotes would make another type of some.
const SPELLED: [&str; 14] = [
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "dec",
    "decimal",
    "float",
    "int",
    "integer",
    "nchar",
    "real",
    "smallint",
    "time",
];

/// A type in SQL: a name (`Mixed Case`), one in a schema as SQL writes it (`public."Mixed Case"`), or an array of
/// those (`mood[]`).
pub(super) fn type_name(name: &str) -> String {
    if let Some(element) = name.strip_suffix("[]") {
        return type_name(element) + "[]";
    }
    match SPELLED.contains(&name) || name.contains('.') && is_one_expression(name) {
        true => name.to_owned(),
        false => identifier(name),
    }
}

/// Whether nothing but a type's name, with its modifiers, is there: no other statement, no comment, no text.
fn is_one_expression(name: &str) -> bool {
    let mut quoted = false;
    let plain = name.chars().all(|letter| {
        quoted ^= letter == '"';
        quoted || letter.is_alphanumeric() || "\"_$. (),".contains(letter)
    });
    plain && !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_what_sql_spells_is_not() {
        for (given, wanted) in [
            ("int4", r#""int4""#),
            ("integer", "integer"),
            ("int4[]", r#""int4"[]"#),
            ("integer[][]", "integer[][]"),
            ("Mixed Case", r#""Mixed Case""#),
            ("varchar(20)", r#""varchar(20)""#),
            ("public.mood", "public.mood"),
            ("public.mood[]", "public.mood[]"),
            (r#""Odd; Schema"."Mixed""Case""#, r#""Odd; Schema"."Mixed""Case""#),
            ("int4; drop table public.users", r#""int4; drop table public.users""#),
            ("a.b -- c", r#""a.b -- c""#),
            (r#"a."b"#, r#""a.""b""#),
        ] {
            assert_eq!(type_name(given), wanted);
        }
    }
}
