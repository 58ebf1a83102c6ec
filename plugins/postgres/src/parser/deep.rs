//! Room for statements that nest deeply: the parser, and whatever walks a tree, calls itself for each level.

use pg_query::protobuf::Token;
use studio_plugin_api::{DriverError, ErrorCode};
use tokio::sync::oneshot;

/// How deep a statement may nest, counted in tokens: no token adds more than three levels to the tree.
const MAXIMUM_NESTING: usize = 4_000;
/// A level takes up to 4 KiB, measured over what the grammar can nest, with optimization; a token up to three levels.
const STACK: usize = 128 << 20;
/// What needs no more stack than any thread has, and not so long that others would wait for it.
const SHALLOW: usize = 48;
const SHORT: usize = 16 << 10;

/// Runs what calls itself for each level of a statement: in place where it is shallow, and else on a thread with the stack
/// for it. What a thread does not touch of its stack costs nothing.
///
/// # Errors
/// `VALIDATION_ERROR` for a text that nests too deeply, `DRIVER_ERROR` when there is no thread to have; and those of `work`.
pub(crate) async fn run<T: Send + 'static>(
    sql: String,
    work: impl FnOnce(&str) -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    // What cannot be divided into tokens is never made a tree of: whoever parses it says what is wrong.
    let deepest = pg_query::scan(&sql)
        .map(|scanned| nesting(scanned.tokens.iter().map(|token| token.token())))
        .unwrap_or_default();
    if deepest > MAXIMUM_NESTING {
        return Err(DriverError::validation("query", "the query is nested too deeply"));
    }
    if deepest <= SHALLOW && sql.len() <= SHORT {
        return work(&sql);
    }
    on_thread(move || work(&sql)).await
}

/// Runs something on a thread with a big stack.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("parser".to_owned())
        .stack_size(STACK)
        // Nobody may be waiting any more.
        .spawn(move || drop(sender.send(work())))
        .map_err(|error| failed(&format!("no thread for the parser: {error}")))?;
    receiver.await.map_err(|_| failed("the parser gave up"))?
}

fn failed(message: &str) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}

/// What the parser says is wrong, without the words that `pg_query` puts before it.
pub(crate) fn message(error: pg_query::Error) -> String {
    match error {
        pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message,
        other => other.to_string(),
    }
}

/// A bound on how deep the tree is: at a token, the tokens since the last comma, at each level of parentheses, `CASE` or
/// `BEGIN ATOMIC` that it is in. Commas and semicolons divide lists, whose elements are side by side: semicolons statements,
/// also those of a function's body. UNION and its like go on to the right of commas. What opens and closes is paired as far
/// as the text makes sense to the parser, and further it does not go.
fn nesting(tokens: impl Iterator<Item = Token>) -> usize {
    #[derive(Default)]
    struct Level {
        since_comma: usize,
        set_operations: usize,
        /// What opened the level inside it ends with `END`.
        opens_a_block: bool,
    }
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    // Of all outer levels together.
    let mut around = 0;
    let mut deepest = 0;
    let mut begins = false;
    for token in tokens {
        level.since_comma += 1;
        let opens_a_block = token == Token::Case || begins && token == Token::Atomic;
        begins = token == Token::BeginP;
        match token {
            Token::Ascii40 | Token::Ascii91 | Token::Case | Token::Atomic
                if opens_a_block || matches!(token, Token::Ascii40 | Token::Ascii91) =>
            {
                around += level.since_comma + level.set_operations;
                outer.push(Level { opens_a_block, ..std::mem::take(&mut level) });
            }
            Token::Ascii41 | Token::Ascii93 | Token::EndP
                if token != Token::EndP || outer.last().is_some_and(|outer| outer.opens_a_block) =>
            {
                if let Some(back) = outer.pop() {
                    around -= back.since_comma + back.set_operations;
                    level = back;
                }
            }
            Token::Ascii44 => level.since_comma = 0,
            Token::Ascii59 => level = Level::default(),
            Token::Union | Token::Intersect | Token::Except => level.set_operations += 1,
            _ => {}
        }
        deepest = deepest.max(around + level.since_comma + level.set_operations);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(sql: &str) -> usize {
        nesting(pg_query::scan(sql).unwrap().tokens.iter().map(|token| token.token()))
    }

    #[test]
    fn lists_do_not_nest_and_chains_do() {
        let rows = vec!["(1, 'a')"; 10_000].join(", ");
        assert!(depth(&format!("insert into t values {rows}")) < 10);
        assert!(depth(&"select 1; ".repeat(10_000)) < 5);
        assert!(depth(&format!("select {}1", "1 + ".repeat(1_000))) > 1_000);
        assert!(depth(&"select 1, 2 union ".repeat(1_000)) > 1_000);
        assert!(depth(&"f(1, ".repeat(1_000)) > 1_000);
    }

    #[test]
    fn blocks_nest_across_what_divides_statements() {
        let bodies = "create function f() begin atomic; ".repeat(1_000);
        assert!(depth(&format!("{bodies}{}", "end; ".repeat(1_000))) > 1_000);
        assert!(depth(&"create function f() begin atomic case when a then b end; ".repeat(1_000)) > 1_000);
        assert!(depth(&"select case when (a, b) = (1, 2) then 3, ".repeat(1_000)) > 1_000);
        // Side by side they do not.
        assert!(
            depth(&"create function f() begin atomic select case a when 1 then 2 end; end; ".repeat(1_000))
                < 40
        );
        assert!(depth(&"begin; select 1; end; ".repeat(1_000)) < 10);
        assert!(depth(&format!("select {}1", "atomic, ".repeat(1_000))) < 10);
        assert!(depth(&format!("select {}1", "case a when 1 then 2 end, ".repeat(1_000))) < 20);
    }
}
