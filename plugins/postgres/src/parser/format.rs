//! SQL laid out anew: the same words, with other space between them.

use super::deep;
use crate::room::Wanted;
use pg_query::protobuf::{ScanToken, Token};
use sqlformat::{Dialect, FormatOptions, Indent, QueryParams};
use studio_plugin_api::DriverError;

/// How long a text constant or a comment counts for at the most where the formatter asks what fits in a line.
const LONGEST_SHOWN: usize = 60;

/// Lays SQL out, a clause a line, in the manner of the formatter that postgres-meta has. What it can't lay out without
/// making other SQL of it is answered as it is.
///
/// # Errors
/// `QUERY_ERROR` for what is not even made of SQL's words.
pub(super) fn format(sql: &str, wanted: &Wanted) -> Result<String, DriverError> {
    let words = words_of(sql).map_err(|error| DriverError::query("42601", deep::message(error)))?;
    wanted.check()?;
    if sql.trim().is_empty() {
        return Ok(String::new());
    }
    let formatted = lay_out(sql, &words);
    wanted.check()?;
    Ok(formatted.unwrap_or_else(|| sql.to_owned()))
}

/// Nothing when the formatter does not know these words.
fn lay_out(sql: &str, words: &[Word<'_>]) -> Option<String> {
    let options = FormatOptions {
        indent: Indent::Spaces(2),
        uppercase: None,
        lines_between_queries: 2,
        dialect: Dialect::PostgreSql,
        ..FormatOptions::default()
    };
    // The formatter knows no dollar quotes, escapes, bits and bases: it sees words of as many letters instead, and only
    // the space that it puts between them is taken.
    let mut plain = String::with_capacity(sql.len());
    let mut end = 0;
    let plain_words: Vec<String> = words.iter().map(Word::in_plain).collect();
    for (word, plain_word) in words.iter().zip(&plain_words) {
        plain.push_str(sql.get(end..word.start)?);
        plain.push_str(plain_word);
        end = word.end();
    }
    plain.push_str(sql.get(end..)?);
    let layout = sqlformat::format(&plain, &QueryParams::None, &options);
    let laid_out = words_of(&layout).ok()?;
    if laid_out.len() != words.len() {
        return None;
    }
    let mut formatted = String::with_capacity(layout.len());
    let mut end = 0;
    for ((place, word), plain_word) in laid_out.iter().zip(words).zip(&plain_words) {
        if place.text != plain_word {
            return None;
        }
        formatted.push_str(layout.get(end..place.start)?);
        formatted.push_str(word.text);
        end = place.end();
    }
    formatted.push_str(layout.get(end..)?);
    formatted.push('\n');
    // A line end within a constant makes two of one, or one of two.
    let same = words_of(&formatted).is_ok_and(|formatted| {
        formatted.len() == words.len() && formatted.iter().zip(words).all(|(one, other)| one.is(other))
    });
    same.then_some(formatted)
}

/// A word of a text: a name, a constant, a sign, a comment.
struct Word<'a> {
    kind: Token,
    start: usize,
    text: &'a str,
}

impl Word<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }

    /// A word that means the same to the formatter, written so that it knows it.
    fn in_plain(&self) -> String {
        let length = self.text.chars().count();
        let letters = || "x".repeat(length.saturating_sub(2).clamp(1, LONGEST_SHOWN));
        match self.kind {
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst => format!("'{}'", letters()),
            Token::Uident => format!("\"{}\"", letters()),
            Token::Ident if self.text.starts_with('"') => format!("\"{}\"", letters()),
            Token::Ident
                if !self.text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') =>
            {
                "x".repeat(length)
            }
            Token::Iconst | Token::Fconst => "1".repeat(length),
            Token::Op => "||".to_owned(),
            Token::CComment => format!("/*{}*/", letters()),
            _ => self.text.to_owned(),
        }
    }
}

/// The words of a text, comments among them.
fn words_of(sql: &str) -> Result<Vec<Word<'_>>, pg_query::Error> {
    let mut words: Vec<Word<'_>> = Vec::new();
    for token in &pg_query::scan(sql)?.tokens {
        let word =
            word_of(sql, token).ok_or_else(|| pg_query::Error::Scan("the text has no words".to_owned()))?;
        match words.last_mut() {
            // `N'…'` is two to the scanner, and one as long as nothing is between them.
            Some(last)
                if last.kind == Token::Nchar && last.end() == word.start && word.kind == Token::Sconst =>
            {
                last.kind = word.kind;
                last.text = sql.get(last.start..word.end()).unwrap_or_default();
            }
            _ => words.push(word),
        }
    }
    Ok(words)
}

fn word_of<'a>(sql: &'a str, token: &ScanToken) -> Option<Word<'a>> {
    let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
    Some(Word { kind: token.token(), start, text: sql.get(start..end)? })
}

#[cfg(test)]
mod tests;
