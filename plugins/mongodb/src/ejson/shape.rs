//! Which documents a JSON object can't say as they are.

use super::{
    elements::{Element, Elements, Malformed},
    types::{is_key, is_marker},
};
use std::{borrow::Cow, collections::HashMap};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As the object with its fields.
    Plain,
    /// The same inside of `$document`, since the object would be read as a value of a type.
    Wrapped,
    /// With marks, since two of its fields have one name, or one has a name that is not UTF-8; wrapped or not.
    Marked { wrapped: bool },
}

/// Looks at the names in a document.
///
/// # Errors
/// [`Malformed`].
pub(super) fn look(document: &[u8]) -> Result<Shape, Malformed> {
    let mut names = Names::default();
    let (mut is_text, mut has_id, mut has_key, mut has_marker) = (true, false, false, false);
    for element in Elements::of(document)? {
        let name = element?.name;
        names.add(name);
        is_text &= name.is_ascii() || std::str::from_utf8(name).is_ok();
        has_id |= name == b"_id";
        if name.first() == Some(&b'$') {
            let name = String::from_utf8_lossy(name);
            has_key |= is_key(&name);
            has_marker |= is_marker(&name);
        }
    }
    let wrapped = has_marker || (has_key && !has_id);
    Ok(match (is_text && !names.has_equal_ones(), wrapped) {
        (true, false) => Shape::Plain,
        (true, true) => Shape::Wrapped,
        (false, wrapped) => Shape::Marked { wrapped },
    })
}

/// The names in a document: most have few.
#[derive(Default)]
struct Names<'a> {
    few: [&'a [u8]; Names::FEW],
    count: usize,
    more: Vec<&'a [u8]>,
}

impl<'a> Names<'a> {
    const FEW: usize = 12;

    fn add(&mut self, name: &'a [u8]) {
        match self.few.get_mut(self.count) {
            Some(place) => *place = name,
            None => {
                if self.more.is_empty() {
                    self.more.extend(self.few);
                }
                self.more.push(name);
            }
        }
        self.count += 1;
    }

    fn has_equal_ones(&mut self) -> bool {
        let names = match self.few.get_mut(..self.count) {
            Some(few) => few,
            None => self.more.as_mut_slice(),
        };
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

/// Holds all fields that are shown with one name.
type Named<'a> = (Cow<'a, str>, Vec<Element<'a>>);

/// Gathers the fields of a document by the names that they are shown with, in the order of each one's first.
///
/// # Errors
/// [`Malformed`].
pub(super) fn by_shown_name(document: &[u8]) -> Result<Vec<Named<'_>>, Malformed> {
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut fields: Vec<Named<'_>> = Vec::new();
    for element in Elements::of(document)? {
        let element = element?;
        let name = String::from_utf8_lossy(element.name);
        let place = *places.entry(name.clone()).or_insert(fields.len());
        match fields.get_mut(place) {
            Some((_, elements)) => elements.push(element),
            None => fields.push((name, vec![element])),
        }
    }
    Ok(fields)
}
