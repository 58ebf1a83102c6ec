//! Array texts (PostgreSQL's manual, 8.15.6) as JSON arrays.

use super::{Element, write_text};

/// Dimensions that an array has at the most (`MAXDIM` in PostgreSQL's `c.h`).
const MOST_DIMENSIONS: u32 = 6;

/// Writes `{1,NULL,"a b"}` as an array, of arrays where it has several dimensions. Bounds (`[2:3]={…}`) are left out. A
/// text that is no array is written as it is.
pub(super) fn write(element: Element, value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let body = match value.first() {
        Some(b'[') => value.iter().position(|letter| *letter == b'=').and_then(|end| value.get(end + 1..)),
        _ => Some(value),
    };
    if body.and_then(|body| write_items(element, body, out)).is_none() {
        out.truncate(start);
        write_text(value, out);
    }
}

/// Nothing when the text is not as PostgreSQL writes arrays.
fn write_items(element: Element, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let kind = element.kind();
    let (mut rest, mut depth, mut item) = (body, 0_u32, Vec::new());
    let mut before = Before::Opening;
    loop {
        let (first, others) = rest.split_first()?;
        match (first, before) {
            (b'{', Before::Opening | Before::Comma) if depth < MOST_DIMENSIONS => {
                depth += 1;
                out.push(b'[');
                (rest, before) = (others, Before::Opening);
            }
            (b'}', Before::Opening | Before::Item) => {
                depth = depth.checked_sub(1)?;
                out.push(b']');
                (rest, before) = (others, Before::Item);
            }
            (b',', Before::Item) => {
                out.push(b',');
                (rest, before) = (others, Before::Comma);
            }
            (b'"', Before::Opening | Before::Comma) => {
                item.clear();
                rest = take_quoted(others, &mut item)?;
                before = Before::Item;
                kind.write(Some(&item), out);
            }
            (b'{' | b'}' | b',' | b'"', _) | (_, Before::Item) => return None,
            _ => {
                let end = rest.iter().position(|letter| matches!(letter, b',' | b'}'))?;
                let (text, after) = rest.split_at(end);
                kind.write((text != b"NULL").then_some(text), out);
                (rest, before) = (after, Before::Item);
            }
        }
        if depth == 0 {
            return rest.is_empty().then_some(());
        }
    }
}

/// What stands before the rest of an array's text.
#[derive(Clone, Copy)]
enum Before {
    /// The brace that opens an array.
    Opening,
    /// A comma.
    Comma,
    /// An element, or a whole array.
    Item,
}

/// Takes an element up to its closing quote, and gives back what follows.
fn take_quoted<'a>(mut rest: &'a [u8], item: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'"', others @ ..] => return Some(others),
            [b'\\', letter, others @ ..] | [letter, others @ ..] => {
                item.push(*letter);
                rest = others;
            }
            [] => return None,
        }
    }
}
