//! Names in the forms that languages have for them, and their order.

use icu_collator::{CollatorBorrowed, options::CollatorOptions};
use std::cmp::Ordering;

/// The words of a name: what is between anything but ASCII letters and digits.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric())
}

fn capitalize(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `user_id` → `UserId`, `ABC_def` → `ABCDef`.
pub(super) fn pascal(name: &str) -> String {
    words(name).map(capitalize).collect()
}

/// `user_ID` → `userId`, `HTTPServer` → `httpserver`, `_a` → `A`.
pub(super) fn camel(name: &str) -> String {
    let mut words = words(name).map(str::to_ascii_lowercase);
    let first = words.next().unwrap_or_default();
    words.fold(first, |name, word| name + &capitalize(&word))
}

/// `user-ID` → `user_id`, `a  b` → `a_b`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            snake.push(letter.to_ascii_lowercase());
        } else if !snake.ends_with('_') {
            snake.push('_');
        }
    }
    snake
}

/// A text between double quotes, escaped as all these languages read it.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The order in which people who read expect names, as in JavaScript's `localeCompare`.
pub(super) struct Order(Option<CollatorBorrowed<'static>>);

impl Order {
    pub(super) fn new() -> Self {
        Self(CollatorBorrowed::try_new(Default::default(), CollatorOptions::default()).ok())
    }

    pub(super) fn compare(&self, one: &str, other: &str) -> Ordering {
        let ordering = self.0.as_ref().map_or(Ordering::Equal, |collator| collator.compare(one, other));
        ordering.then_with(|| one.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_form_of_each_language() {
        for (name, in_pascal, in_camel, in_snake) in [
            ("user_id", "UserId", "userId", "user_id"),
            ("ABC_def", "ABCDef", "abcDef", "abc_def"),
            ("HTTPServer", "HTTPServer", "httpserver", "httpserver"),
            ("_a", "A", "A", "_a"),
            ("a__b", "AB", "aB", "a_b"),
            ("$dollar", "Dollar", "Dollar", "_dollar"),
            ("naïve ☃", "NaVe", "naVe", "na_ve_"),
            ("列", "", "", "_"),
            ("2a", "2a", "2a", "2a"),
        ] {
            assert_eq!(
                (pascal(name), camel(name), snake(name)),
                (in_pascal.into(), in_camel.into(), in_snake.into())
            );
        }
    }

    #[test]
    fn names_are_in_the_order_of_people() {
        let order = Order::new();
        let sorted = [
            "__y",
            "_x",
            "$dollar",
            "1",
            "2x",
            "a  b",
            "a_",
            "a-b",
            "a.b",
            "aB",
            "ba",
            "Ba",
            "bB",
            "ID",
            "naïve",
            "wolf",
            "ссылка",
            "列",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|one, other| order.compare(one, other));
        let position = |name: &str| names.iter().position(|known| *known == name).unwrap();
        assert!(
            position("__y") < position("_x")
                && position("ba") < position("Ba")
                && position("Ba") < position("bB")
        );
        assert!(position("ID") < position("naïve") && position("ссылка") < position("列"));
    }
}
