//! Commands that concern several nodes: who gets which part, and how the answers become one.

use crate::{errors, packed::Packed, route::Join, wire};
use redis::Value;
use std::collections::BTreeMap;
use studio_plugin_api::DriverError;

/// The part of a command that one slot's primary gets.
pub(super) struct Part {
    pub(super) slot: u16,
    pub(super) command: Packed,
    /// Which of the command's keys are in it.
    pub(super) keys: Vec<usize>,
}

/// A command's parts by slots, where each key has `step` words and the last `shared` words belong to all; one part
/// where its words don't add up, for the server to say so.
pub(super) fn split(command: &Packed, step: usize, shared: usize) -> Vec<Part> {
    let words: Vec<&[u8]> = command.words().collect();
    let (name, words) = words.split_first().map_or((&b""[..], &[][..]), |(name, words)| (*name, words));
    let (keys, ends) = words.split_at(words.len().saturating_sub(shared));
    if step == 0 || keys.is_empty() || keys.len() % step != 0 {
        let slot = super::map::slot(keys.first().copied().unwrap_or_default());
        return vec![Part { slot, command: command.clone(), keys: vec![0] }];
    }
    let mut places: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (place, own) in keys.chunks(step).enumerate() {
        places.entry(super::map::slot(own.first().copied().unwrap_or_default())).or_default().push(place);
    }
    let part = |(slot, places): (u16, Vec<usize>)| {
        let own = places.iter().filter_map(|place| keys.chunks(step).nth(*place)).flatten();
        let mut command = Packed::default();
        command.begin(1 + places.len() * step + ends.len());
        command.add_word(name);
        own.chain(ends).for_each(|word| command.add_word(word));
        Part { slot, command, keys: places }
    };
    places.into_iter().map(part).collect()
}

/// One answer of the parts' answers.
pub(super) fn join_parts(join: Join, answers: Vec<(Vec<usize>, Value)>) -> Result<Value, DriverError> {
    if join != Join::Lists {
        return join_answers(join, answers.into_iter().map(|(_, answer)| (String::new(), answer)).collect());
    }
    let mut places = BTreeMap::new();
    for (keys, answer) in answers {
        let own = wire::items(wire::check(answer)?).ok_or_else(unexpected)?;
        if own.len() != keys.len() {
            return Err(unexpected());
        }
        places.extend(keys.into_iter().zip(own));
    }
    Ok(Value::Array(places.into_values().collect()))
}

/// One answer of all nodes' answers, each with its node's address.
pub(super) fn join_answers(join: Join, answers: Vec<(String, Value)>) -> Result<Value, DriverError> {
    if join == Join::ByNode {
        let by_node = answers
            .into_iter()
            .map(|(node, answer)| Ok((Value::BulkString(node.into_bytes()), wire::check(answer)?)));
        return Ok(Value::Map(by_node.collect::<Result<_, DriverError>>()?));
    }
    if join == Join::One {
        let mut failure = errors::lost();
        for (_, answer) in answers {
            match wire::check(answer) {
                Ok(answer) => return Ok(answer),
                Err(error) => failure = error,
            }
        }
        return Err(failure);
    }
    let answers =
        answers.into_iter().map(|(_, answer)| wire::check(answer)).collect::<Result<Vec<_>, _>>()?;
    Ok(match join {
        Join::Sum => {
            let numbers = answers.iter().map(|answer| wire::integer(answer).ok_or_else(unexpected));
            Value::Int(numbers.sum::<Result<i64, _>>()?)
        }
        Join::Lists => {
            let lists = answers.into_iter().map(|answer| wire::items(answer).ok_or_else(unexpected));
            Value::Array(lists.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        Join::First => answers.into_iter().find(|answer| !matches!(answer, Value::Nil)).unwrap_or(Value::Nil),
        Join::Everywhere => everywhere(answers)?,
        Join::Counts => counts(answers)?,
        Join::All | Join::One | Join::ByNode => answers.into_iter().last().unwrap_or(Value::Nil),
    })
}

fn everywhere(answers: Vec<Value>) -> Result<Value, DriverError> {
    let mut all: Vec<i64> = Vec::new();
    for (place, answer) in answers.into_iter().enumerate() {
        let own = wire::items(answer).ok_or_else(unexpected)?;
        if place == 0 {
            all = vec![1; own.len()];
        }
        for (known, answer) in all.iter_mut().zip(own) {
            *known = (*known).min(wire::integer(&answer).ok_or_else(unexpected)?);
        }
    }
    Ok(Value::Array(all.into_iter().map(Value::Int).collect()))
}

fn counts(answers: Vec<Value>) -> Result<Value, DriverError> {
    let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for answer in answers {
        for (name, count) in wire::pairs(answer).ok_or_else(unexpected)? {
            let name = wire::bytes(name).ok_or_else(unexpected)?;
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(wire::integer(&count).ok_or_else(unexpected)?);
        }
    }
    Ok(Value::Map(sums.into_iter().map(|(name, sum)| (Value::BulkString(name), Value::Int(sum))).collect()))
}

fn unexpected() -> DriverError {
    DriverError::unexpected_answer("one node of several")
}

/// Whether they are a transaction.
pub(super) fn begins_transaction(commands: &Packed) -> bool {
    commands.word(0) == b"MULTI"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::tests::packed;

    fn line(command: &Packed) -> String {
        command.words().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_go_to_their_slots_with_what_belongs_to_them() {
        let mut parts: Vec<_> = split(&packed("MSET {a}1 x {b}1 y {a}2 z"), 2, 0)
            .iter()
            .map(|part| (line(&part.command), part.keys.clone()))
            .collect();
        parts.sort();
        let expected = [("MSET {a}1 x {a}2 z".to_owned(), vec![0, 2]), ("MSET {b}1 y".to_owned(), vec![1])];
        assert_eq!(parts, expected);
        let parts = split(&packed("JSON.MGET {a}1 {b}1 $"), 1, 1);
        assert!(parts.len() == 2 && parts.iter().all(|part| line(&part.command).ends_with(" $")));
        assert_eq!(split(&packed("MGET"), 1, 0).len(), 1);
        assert_eq!(split(&packed("MSET {a}1 x {b}1 y odd"), 2, 0).len(), 1);
    }

    #[test]
    fn lists_come_back_in_the_order_of_their_keys() {
        let list = |numbers: &[i64]| Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect());
        let answers = vec![(vec![1, 2], list(&[11, 12])), (vec![0, 3], list(&[10, 13]))];
        assert_eq!(join_parts(Join::Lists, answers).unwrap(), list(&[10, 11, 12, 13]));
        assert!(join_parts(Join::Lists, vec![(vec![0, 1], list(&[1]))]).is_err());
    }

    #[test]
    fn answers_of_nodes_become_one() {
        let join = |join, answers: Vec<&str>| {
            let read = |reply: &str| redis::parse_redis_value(reply.as_bytes()).unwrap();
            let answers = answers.into_iter().map(|answer| ("n:1".to_owned(), read(answer))).collect();
            join_answers(join, answers)
        };
        assert_eq!(join(Join::Sum, vec![":1\r\n", ":2\r\n"]).unwrap(), Value::Int(3));
        assert!(join(Join::Sum, vec![":1\r\n", "-NOPERM x\r\n"]).is_err());
        assert!(join(Join::All, vec!["+OK\r\n", "-NOPERM x\r\n", "+OK\r\n"]).is_err());
        assert_eq!(join(Join::One, vec!["-NOTBUSY x\r\n", "+OK\r\n"]).unwrap(), Value::Okay);
        assert_eq!(join(Join::First, vec!["$-1\r\n", ":1\r\n"]).unwrap(), Value::Int(1));
        let both = join(Join::Everywhere, vec!["*2\r\n:1\r\n:1\r\n", "*2\r\n:1\r\n:0\r\n"]).unwrap();
        assert_eq!(both, Value::Array(vec![Value::Int(1), Value::Int(0)]));
        let counted = join(Join::Counts, vec!["*2\r\n$1\r\nc\r\n:1\r\n", "*2\r\n$1\r\nc\r\n:2\r\n"]).unwrap();
        assert_eq!(counted, Value::Map(vec![(Value::BulkString(b"c".to_vec()), Value::Int(3))]));
    }
}
