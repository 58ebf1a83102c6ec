//! Following what nodes say of commands that belong elsewhere.
//!
//! While a slot moves, some of its keys are on one node and some on another, and each command is told by itself where
//! to go. So each is followed by itself: its neighbours in a pipeline were answered, and must not be sent again.

use super::map::read_address;
use crate::{options::Address, packed::Packed};
use redis::{ServerError, Value};
use std::ops::Range;

/// Where a command is to be tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// For good: the slot has another primary.
    Moved(Address),
    /// For this command: the slot is on its way.
    Ask(Address),
    /// At the same place, a little later: some of its keys have moved and some have not.
    Again(Address),
    /// The node is no primary any more; the others know who is.
    Elsewhere,
}

impl Next {
    /// Reads an error of the node at this address; `None` for one that is the command's answer.
    fn read(error: &ServerError, asked: &Address) -> Option<Self> {
        let address = || {
            let mut address = read_address(error.details()?.split(' ').nth(1)?)?;
            if address.host.is_empty() {
                address.host.clone_from(&asked.host);
            }
            Some(address)
        };
        match error.code() {
            "MOVED" => address().map(Self::Moved),
            "ASK" => address().map(Self::Ask),
            "TRYAGAIN" => Some(Self::Again(asked.clone())),
            "READONLY" => Some(Self::Elsewhere),
            _ => None,
        }
    }
}

/// Commands that go together: one, or a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Their places in the pipeline.
    pub(super) commands: Range<usize>,
    /// Where they are to be tried.
    pub(super) next: Next,
}

/// The parts of a pipeline that belong elsewhere, by the answers of the node at this address.
pub(super) fn misplaced(answers: &[Value], is_transaction: bool, asked: &Address) -> Vec<Unit> {
    if is_transaction {
        // Where the transaction was not begun, its commands stood alone, and none of them may be run by itself again.
        let was_begun = !matches!(answers.first(), Some(Value::ServerError(_)));
        // One command that was not taken is enough for none to be run. DISCARD is behind EXEC.
        let exec = answers.iter().rev().nth(1);
        let was_run = !was_begun || matches!(exec, Some(Value::Array(_) | Value::Set(_) | Value::Nil));
        let next = if was_run { None } else { answers.iter().find_map(|answer| next(answer, asked)) };
        return next.map(|next| Unit { commands: 0..answers.len(), next }).into_iter().collect();
    }
    let units = answers.iter().enumerate();
    units
        .filter_map(|(place, answer)| Some(Unit { commands: place..place + 1, next: next(answer, asked)? }))
        .collect()
}

fn next(answer: &Value, asked: &Address) -> Option<Next> {
    match answer {
        Value::ServerError(error) => Next::read(error, asked),
        _ => None,
    }
}

/// Picks the commands of these units; `asking` lets them in where their slot has not arrived yet.
pub(super) fn pick(commands: &Packed, units: &[Unit], asking: bool) -> Packed {
    let commands: Vec<_> = commands.commands().collect();
    let mut picked = Packed::default();
    for unit in units {
        if asking {
            picked.add([b"ASKING"]);
        }
        for command in commands.get(unit.commands.clone()).unwrap_or_default() {
            picked.add_packed(command);
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reply: &str) -> Value {
        redis::parse_redis_value(reply.as_bytes()).unwrap()
    }

    fn address(host: &str) -> Address {
        Address { host: host.into(), port: 7001 }
    }

    #[test]
    fn each_command_is_told_by_itself_where_to_go() {
        let asked = address("here");
        let answers =
            ["+OK\r\n", "-ASK 5 there:7001\r\n", "-WRONGTYPE x\r\n", "-MOVED 5 :7001\r\n", "-TRYAGAIN x\r\n"];
        let answers: Vec<_> = answers.into_iter().map(read).collect();
        let unit = |place: usize, next| Unit { commands: place..place + 1, next };
        let expected = [
            unit(1, Next::Ask(address("there"))),
            unit(3, Next::Moved(address("here"))),
            unit(4, Next::Again(address("here"))),
        ];
        assert_eq!(misplaced(&answers, false, &asked), expected);
    }

    #[test]
    fn transactions_are_redirected_whole_and_only_if_nothing_ran() {
        let asked = address("here");
        let queued = ["+OK\r\n", "-ASK 5 there:7001\r\n", "+QUEUED\r\n"];
        let of = |last: &str| {
            let ends = [last, "-ERR DISCARD without MULTI\r\n"];
            let answers: Vec<_> = queued.into_iter().chain(ends).map(read).collect();
            misplaced(&answers, true, &asked)
        };
        let whole = Unit { commands: 0..5, next: Next::Ask(address("there")) };
        assert_eq!(of("-EXECABORT x\r\n"), [whole]);
        assert_eq!(of("*1\r\n+OK\r\n"), []);
        let without_multi =
            ["-NOPERM x\r\n", "-MOVED 5 there:7001\r\n", "+OK\r\n", "-ERR x\r\n", "-ERR x\r\n"];
        let answers: Vec<_> = without_multi.into_iter().map(read).collect();
        assert_eq!(misplaced(&answers, true, &asked), []);
    }

    #[test]
    fn what_leads_nowhere_is_the_answer() {
        for reply in
            ["-MOVED\r\n", "-MOVED 5\r\n", "-ASK 5 x:y\r\n", "-CLUSTERDOWN x\r\n", "-ERR MOVED 5 a:1\r\n"]
        {
            assert_eq!(misplaced(&[read(reply)], false, &address("here")), [], "{reply}");
        }
    }
}
