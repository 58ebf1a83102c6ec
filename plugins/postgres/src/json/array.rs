//! Array texts (PostgreSQL's manual, 8.15.6) as JSON arrays.

use super::{Element, write_text};

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
    loop {
        let (first, others) = rest.split_first()?;
        match first {
            b'{' => {
                depth += 1;
                out.push(b'[');
                rest = others;
            }
            b'}' => {
                depth = depth.checked_sub(1)?;
                out.push(b']');
                rest = others;
            }
            b',' => {
                out.push(b',');
                rest = others;
            }
            b'"' => {
                item.clear();
                rest = take_quoted(others, &mut item)?;
                kind.write(Some(&item), out);
            }
            _ => {
                let end = rest.iter().position(|letter| matches!(letter, b',' | b'}'))?;
                let (text, after) = rest.split_at(end);
                kind.write((text != b"NULL").then_some(text), out);
                rest = after;
            }
        }
        if depth == 0 {
            return rest.is_empty().then_some(());
        }
    }
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
