//! The encoding of what the server answers, which is UTF-8 whatever a query says of it: the text that a query comes as
//! is UTF-8, and so is what is made of its answers. Dumps begin with `SET client_encoding`.

use crate::{
    errors::Failure,
    guard::words::{Piece, Pieces},
    pool::Borrowed,
    results::ResultSets,
};
use std::{borrow::Cow, ops::Range};
use studio_plugin_api::DriverError;

/// What puts the encoding back, where `SET` stands before it.
const PUT_BACK: &str = "names";
const UTF8: &str = "UTF8";
const BYTES: &str = "SQL_ASCII";
const SETTING: &str = "client_encoding";
/// The names of other encodings that clients may have (PostgreSQL's manual, 24.3.1), without what is no letter or digit.
/// Of any other name the server has a word to say.
const OTHERS: &[&str] = &[
    "abc",
    "alt",
    "big5",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
    "mskanji",
    "muleinternal",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "tcvn",
    "tcvn5712",
    "uhc",
    "vscii",
    "win",
    "windows949",
    "windows950",
    "windows932",
    "windows936",
];
const FAMILIES: &[(&str, std::ops::RangeInclusive<u16>)] =
    &[("iso8859", 1..=16), ("latin", 1..=10), ("win", 866..=1258), ("windows", 866..=1258)];

/// The query with each statement that changes the encoding made one that puts it back. Nothing else changes its place.
pub(super) fn keep(query: &str) -> Cow<'_, str> {
    let has = |word: &str| {
        query.as_bytes().windows(word.len()).any(|letters| letters.eq_ignore_ascii_case(word.as_bytes()))
    };
    if !has(SETTING) && !has(PUT_BACK) {
        return Cow::Borrowed(query);
    }
    let mut kept = String::new();
    let mut end = 0;
    for (range, replacement) in changes(query) {
        kept.push_str(query.get(end..range.start).unwrap_or_default());
        kept.push_str(&format!("{replacement:<0$}", range.len()));
        end = range.end;
    }
    if end == 0 {
        return Cow::Borrowed(query);
    }
    kept.push_str(query.get(end..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Where a query names another encoding, and what is to stand there, which is never longer.
fn changes(query: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let mut pieces = Pieces::new(query);
    let mut begins = true;
    while let Some(piece) = pieces.next() {
        if begins && piece.is("set") {
            found.extend(of_setting(query, &mut pieces.clone()).map(|range| (range, PUT_BACK)));
        } else if piece.is("set_config") {
            found.extend(of_call(query, &mut pieces.clone()).map(|range| (range, UTF8)));
        }
        begins = piece == Piece::Other(b';');
    }
    found
}

/// After `SET`: the place of `client_encoding = 'latin1'`.
fn of_setting(query: &str, pieces: &mut Pieces<'_>) -> Option<Range<usize>> {
    let mut name = pieces.next()?;
    if name.is("local") || name.is("session") {
        name = pieces.next()?;
    }
    let Piece::Word(word) = name else { return None };
    let start = place(query, word).start;
    if name.is(SETTING) {
        let sign = pieces.next()?;
        if sign != Piece::Other(b'=') && !sign.is("to") {
            return None;
        }
    } else if !name.is("names") {
        return None;
    }
    let before = pieces.place();
    let value = match pieces.next()? {
        Piece::Word(text) | Piece::Text(text) => text,
        Piece::Other(b'"') => query.get(before..pieces.place())?,
        Piece::Other(_) => return None,
    };
    let end = pieces.place();
    let is_last = matches!(pieces.next(), None | Some(Piece::Other(b';')));
    (is_last && is_other(value)).then_some(start..end)
}

/// After `set_config`: the place of `latin1` in `('client_encoding', 'latin1'`.
fn of_call(query: &str, pieces: &mut Pieces<'_>) -> Option<Range<usize>> {
    let opens = pieces.next()? == Piece::Other(b'(');
    let names = matches!(pieces.next()?, Piece::Text(name) if name.eq_ignore_ascii_case(SETTING));
    let goes_on = pieces.next()? == Piece::Other(b',');
    let Piece::Text(value) = pieces.next()? else { return None };
    let fits = opens && names && goes_on && is_other(value) && value.len() >= UTF8.len();
    fits.then(|| place(query, value))
}

/// Where a part of a text stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// Whether it is the name of an encoding that clients may have, other than UTF-8.
fn is_other(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let of_family = FAMILIES.iter().any(|(family, numbers)| {
        let number = name.strip_prefix(family).and_then(|number| number.parse().ok());
        number.is_some_and(|number: u16| numbers.contains(&number))
    });
    of_family || OTHERS.contains(&name.as_str())
}

/// Refuses results whose texts are in an encoding that nobody knows: a statement may change it as often as it likes
/// without saying so.
///
/// # Errors
/// `QUERY_ERROR` that says so.
pub(super) fn check(connection: &Borrowed, results: &ResultSets) -> Result<(), Failure> {
    let Some(encodings) = connection.encodings() else { return Ok(()) };
    // Such a server keeps bytes, and does not know itself what they are; and such a client gets what is kept.
    let keeps_bytes = encodings.server == BYTES;
    let is_as_asked = || results.are_readable() && encodings.names_are_readable;
    let is_as_told = || [UTF8, BYTES].contains(&encodings.client.as_str()) || results.are_ascii();
    if keeps_bytes || is_as_asked() && is_as_told() {
        return Ok(());
    }
    let message = "the query changed client_encoding, and its results can't be read any more: they must be UTF-8. It was \
                   run; leave the encoding as it is, or set it by a SET statement, which is overlooked";
    Err(Failure::from(DriverError::query("22021", message)).after_sending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_change_the_encoding_restore_it_instead() {
        for (query, kept) in [
            ("set client_encoding = 'latin1'; select 1", "set names                     ; select 1"),
            ("SET Client_Encoding TO LATIN1", "SET names                    "),
            ("set names gbk", "set names    "),
            ("set names 'iso-8859-15' ;", "set names               ;"),
            ("set local names \"sjis\"", "set local names       "),
            (
                ";/* a */ set session client_encoding\n= 'WIN1252' -- b",
                ";/* a */ set session names                       -- b",
            ),
            (
                "select set_config('client_encoding', 'latin1', true)",
                "select set_config('client_encoding', 'UTF8  ', true)",
            ),
        ] {
            assert_eq!(keep(query), kept);
        }
    }

    #[test]
    fn everything_else_stays() {
        for query in [
            "select 1",
            "select names from t",
            "set names 'utf8'",
            "set names default",
            "set client_encoding = 'SQL_ASCII'",
            "set client_encoding to 'klingon'",
            "set client_encoding to default",
            "set client_encoding from current",
            "set search_path = names, latin1",
            "show client_encoding",
            "select '; set names latin1;', $$; set names latin1; $$, \"; set names latin1;\"",
            "alter role a set client_encoding = 'latin1'",
            "create function f() returns int language sql set client_encoding = 'latin1' as 'select 1'",
            "set names 'latin1', 'latin2'",
            "select set_config('search_path', 'latin1', true)",
            "select set_config('client_encoding', 'gbk', true)",
            "set names",
            "set",
            "names",
            "set_config(",
        ] {
            assert!(matches!(keep(query), Cow::Borrowed(same) if same == query), "{query}: {}", keep(query));
        }
    }
}
