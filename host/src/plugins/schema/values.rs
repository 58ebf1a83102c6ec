//! Reads the texts of the path and the query as values of the types that the schema asks for.

use super::{EVERY_TYPE, Schema, types};
use serde_json::{Number, Value};
use studio_plugin_api::parameters::read_flag;

impl Schema {
    /// Finds the part for a member of the whole value, if there is one of that name.
    pub(super) fn member(&self, name: &str) -> Option<usize> {
        self.same(0).into_iter().find_map(|node| node.members.get(name).copied())
    }

    /// Reads a text as a value of a part: a number, true or false, a list with commas, or else the text.
    pub(super) fn read_text(&self, number: usize, text: &str) -> Value {
        let wanted = self.types_of(number);
        if wanted == EVERY_TYPE {
            return text.into();
        }
        let has = |of: u8| wanted & of != 0;
        if has(types::INTEGER | types::NUMBER)
            && let Some(number) = read_number(text)
        {
            return number.into();
        }
        if has(types::BOOLEAN)
            && let Some(flag) = read_flag(text)
        {
            return flag.into();
        }
        if has(types::ARRAY) && !has(types::STRING) {
            let items = self.items_of(number);
            let read = |item: &str| items.map_or_else(|| item.into(), |number| self.read_text(number, item));
            return text.split(',').filter(|item| !item.is_empty()).map(read).collect();
        }
        text.into()
    }

    /// Finds the part for items of a list, in a part or in one of the forms that it allows.
    fn items_of(&self, number: usize) -> Option<usize> {
        let parts = self.same(number);
        let own = parts.iter().find_map(|node| node.items);
        own.or_else(|| {
            let mut choices = parts.iter().flat_map(|node| node.any.iter().chain(&node.one)).take(100);
            choices.find_map(|number| self.same(*number).into_iter().find_map(|node| node.items))
        })
    }
}

fn read_number(text: &str) -> Option<Number> {
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| text.parse().ok().and_then(Number::from_f64))
}
