//! A query of the driver's own, with its parameters beside it.

use std::borrow::Cow;

/// A query of one statement. Parameters are sent as texts, as PostgreSQL's own input functions read them; their types
/// are what the query makes of them, so write `$1::oid` where it leaves that open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The query, with `$1`, `$2` … in it.
    pub(crate) text: Cow<'static, str>,
    /// The values, in their order; nothing stands for NULL.
    pub(crate) parameters: Vec<Option<String>>,
    /// What each of its rows has besides its columns.
    pub(crate) lists: Vec<List>,
}

/// A field of each row that is an array of objects: what PostgreSQL's `json_agg` would make, at a fraction of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    /// The field's name.
    pub(crate) name: &'static str,
    /// Gives the objects of all rows. Its first column is the first one of the row that an object belongs to, and no
    /// field of it; objects of other rows are left out.
    pub(crate) statement: Statement,
}

impl Statement {
    /// A query without parameters yet.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), parameters: Vec::new(), lists: Vec::new() }
    }

    /// Adds the next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Option<String>>) -> Self {
        self.parameters.push(value.into());
        self
    }

    /// Adds a list to each row.
    pub(crate) fn with_list(mut self, name: &'static str, statement: Self) -> Self {
        self.lists.push(List { name, statement });
        self
    }

    /// Adds an array of texts (`$1::text[]`) as the next parameter; nothing stands for NULL.
    pub(crate) fn bind_list(self, values: Option<&[String]>) -> Self {
        self.bind(values.map(array_literal))
    }
}

/// An array as its input function reads it (PostgreSQL's manual, 8.15.6).
fn array_literal(values: &[String]) -> String {
    let mut literal = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push('"');
        for letter in value.chars() {
            if matches!(letter, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(letter);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_array_literals_with_everything_quoted() {
        let list = ["a".to_owned(), "NULL".to_owned(), "x\"\\,{}".to_owned()];
        let statement = Statement::new("select $1::text[]").bind_list(Some(&list)).bind(None);
        assert_eq!(statement.parameters, [Some(r#"{"a","NULL","x\"\\,{}"}"#.to_owned()), None]);
        assert_eq!(array_literal(&[]), "{}");
    }
}
