//! Errors of a query as psql shows them, and with the fields that node-postgres gives them.

use crate::errors::{ServerError, leave_open};
use std::fmt::Write as _;
use studio_plugin_api::{DriverError, ErrorCode};

/// PostgreSQL's fields in node-postgres's words, in its order.
const FIELDS: [(u8, &str); 16] = [
    (b'S', "severity"),
    (b'C', "code"),
    (b'D', "detail"),
    (b'H', "hint"),
    (b'P', "position"),
    (b'p', "internalPosition"),
    (b'q', "internalQuery"),
    (b'W', "where"),
    (b's', "schema"),
    (b't', "table"),
    (b'c', "column"),
    (b'd', "dataType"),
    (b'n', "constraint"),
    (b'F', "file"),
    (b'L', "line"),
    (b'R', "routine"),
];

/// The answer to a query that the server refused.
pub(super) fn describe(error: &ServerError, query: &str) -> DriverError {
    let formatted = format(error, query);
    let mut answer = DriverError::new(ErrorCode::QueryError, formatted.clone())
        .with("length", error.length)
        .with("name", "error");
    for (field, name) in FIELDS {
        if let Some(value) = error.field(field) {
            answer = answer.with(name, value);
        }
    }
    let answer = answer.with("message", error.message()).with("formattedError", formatted);
    if error.is_after_commit { leave_open(answer) } else { answer }
}

/// `ERROR:  42703: column "x" does not exist`, the line it is in with a mark below, and what more the server says.
fn format(error: &ServerError, query: &str) -> String {
    let severity = error.field(b'S').unwrap_or("ERROR");
    let mut text = format!("{severity}:  {}: {}\n", error.code(), error.message());
    if let Some(position) = error.field(b'P').and_then(|position| position.parse().ok()) {
        write_line(query, position, &mut text);
    }
    for (field, name) in [(b'D', "DETAIL"), (b'H', "HINT"), (b'q', "QUERY"), (b'W', "CONTEXT")] {
        if let Some(value) = error.field(field) {
            let _ = writeln!(text, "{name}:  {value}");
        }
    }
    text
}

/// The position counts characters, from 1.
fn write_line(query: &str, position: usize, text: &mut String) {
    let before: String = query.chars().take(position.saturating_sub(1)).collect();
    let number = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let line = query.split('\n').nth(number - 1).unwrap_or_default();
    let title = format!("LINE {number}: ");
    let _ = writeln!(text, "{title}{line}\n{}^", " ".repeat(title.len() + column));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_stands_below_the_character_that_is_meant() {
        let mut text = String::new();
        write_line("select 1,\n\té nope,\n2", 14, &mut text);
        assert_eq!(text, "LINE 2: \té nope,\n           ^\n");
    }
}
