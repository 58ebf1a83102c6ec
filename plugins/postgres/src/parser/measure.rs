//! How much a statement asks of the parser, from its tokens alone.

use pg_query::protobuf::Token;
use studio_plugin_api::DriverError;

/// How long a text may be, in bytes. Before it is divided into tokens, each byte may be one.
const MAXIMUM_LENGTH: usize = 1 << 20;
/// How many tokens a text may have. A query that lists 10,000 identifiers has half as many.
const MAXIMUM_TOKENS: usize = 40_000;
/// How deep a statement may nest, counted in tokens: no token adds more than three levels to the tree.
const MAXIMUM_NESTING: usize = 4_000;
/// How often a text may say `GLOBAL TEMPORARY`. The parser warns of each, and counts the letters from the start of the
/// text up to it: a megabyte of them takes it minutes.
const MAXIMUM_WARNINGS: usize = 8;

/// What dividing a text takes for each of its bytes, measured.
pub(super) const DIVIDING: usize = 100;
/// What a token takes, measured over what the grammar has; each takes at most five microseconds too.
const TOKEN: usize = 2_300;
/// What a token takes of the stack for being inside another.
const LEVEL: usize = 12 << 10;

/// The formatter looks through what follows for each word: this takes it one to two seconds. A text of 100 KB may have
/// 20,000 words.
const MAXIMUM_COMPARISONS: usize = 2_000_000_000;

/// What can be parsed in place: it takes two milliseconds at the most, and no more stack than any thread has.
const SHORT: usize = 4 << 10;
const FEW: usize = 500;
const SHALLOW: usize = 48;

/// What a text asks of the parser.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    tokens: usize,
    nesting: usize,
    warnings: usize,
}

/// How many bytes [`Size::measure`] takes; nothing where it takes so little that others need not wait for it.
///
/// # Errors
/// `VALIDATION_ERROR` for a text that is too long.
pub(super) fn cost_of_measuring(sql: &str) -> Result<Option<usize>, DriverError> {
    if sql.len() > MAXIMUM_LENGTH {
        return Err(refuse(&format!("longer than {MAXIMUM_LENGTH} bytes")));
    }
    Ok((sql.len() > SHORT).then_some(sql.len() * DIVIDING))
}

impl Size {
    /// Divides a text into tokens. What cannot be divided is never made a tree of: a short text's parser says what is wrong
    /// with it, which may come before.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with what is wrong.
    pub(super) fn measure(sql: &str) -> Result<Self, DriverError> {
        match pg_query::scan(sql) {
            Ok(scanned) => Ok(Self::of(scanned.tokens.iter().map(|token| token.token()))),
            Err(_) if sql.len() <= SHORT => Ok(Self::default()),
            Err(error) => Err(DriverError::validation("query", super::deep::message(error))),
        }
    }

    /// Returns how many tokens the text has, but for comments.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    fn of(tokens: impl Iterator<Item = Token>) -> Self {
        let (mut count, mut warnings, mut last) = (0, 0, Token::Nul);
        let tokens = tokens.filter(|token| !matches!(token, Token::CComment | Token::SqlComment));
        let counted = tokens.inspect(|token| {
            count += 1;
            warnings += usize::from(last == Token::Global && matches!(token, Token::Temp | Token::Temporary));
            last = *token;
        });
        let nesting = nesting(counted);
        Self { tokens: count, nesting, warnings }
    }

    /// How many bytes parsing takes; nothing where it takes so little that others need not wait for it.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for what is too large, or nests too deeply.
    pub(super) fn cost_of_parsing(&self) -> Result<Option<usize>, DriverError> {
        let Self { tokens, nesting, warnings } = *self;
        if nesting > MAXIMUM_NESTING {
            return Err(DriverError::validation("query", "the query is nested too deeply"));
        }
        if tokens > MAXIMUM_TOKENS {
            return Err(refuse(&format!("made of more than {MAXIMUM_TOKENS} words, numbers and signs")));
        }
        if warnings > MAXIMUM_WARNINGS {
            return Err(refuse(&format!(
                "one that says GLOBAL TEMPORARY more than {MAXIMUM_WARNINGS} times"
            )));
        }
        Ok((tokens > FEW || nesting > SHALLOW).then_some(tokens * TOKEN + nesting * LEVEL))
    }

    /// Whether laying a text out takes so long that it is not done in place.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for what is too large, or nests too deeply.
    pub(super) fn takes_long_to_lay_out(&self, sql: &str) -> Result<bool, DriverError> {
        let takes_room = self.cost_of_parsing()?.is_some();
        let comparisons = self.tokens.saturating_mul(sql.len());
        match comparisons <= MAXIMUM_COMPARISONS {
            true => Ok(takes_room || sql.len() > SHORT),
            false => Err(refuse("too long for its many words")),
        }
    }
}

fn refuse(what: &str) -> DriverError {
    DriverError::validation("query", format!("the query is too large to be looked at: it is {what}"))
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
        Size::measure(sql).unwrap().nesting
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

    #[test]
    fn what_the_parser_warns_of_is_counted() {
        let warnings = |sql: &str| Size::measure(sql).unwrap().warnings;
        assert_eq!(warnings(&"create global temp table t ();".repeat(30)), 30);
        assert_eq!(warnings(&"select 1 into /* */ GLOBAL -- \n TEMPORARY t;".repeat(3)), 3);
        assert_eq!(warnings("select 'global temp', \"global\" temp, global, temp"), 0);
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_parsed() {
        let cost = |sql: &str| Size::measure(sql).unwrap().cost_of_parsing().map_err(|error| error.message);
        assert_eq!(cost("select 1"), Ok(None));
        assert!(
            cost(&format!("select {}1", "1,".repeat(1_000))).unwrap().is_some_and(|bytes| bytes < 8 << 20)
        );
        assert!(cost(&format!("select {}1", "(".repeat(100))).unwrap().is_some());
        assert!(cost(&format!("select {}1", "1,".repeat(19_000))).unwrap().is_some());
        assert!(cost(&format!("select {}1", "1,".repeat(20_001))).unwrap_err().contains("40000"));
        assert!(cost(&"create global temp table t();".repeat(9)).unwrap_err().contains("GLOBAL"));
        let long =
            |sql: &str| Size::measure(sql).unwrap().takes_long_to_lay_out(sql).map_err(|error| error.code);
        assert_eq!(long("select 1"), Ok(false));
        assert_eq!(long(&"select a; ".repeat(500)), Ok(true));
        assert_eq!(long(&format!("select '{}'", "x".repeat(1_000_000))), Ok(true));
        let many = format!("select '{}' {}", "x".repeat(900_000), ", a".repeat(5_000));
        assert_eq!(long(&many), Err(studio_plugin_api::ErrorCode::ValidationError));
        assert!(cost_of_measuring(&"x".repeat((1 << 20) + 1)).is_err());
        assert_eq!(cost_of_measuring("select 1").unwrap(), None);
    }
}
