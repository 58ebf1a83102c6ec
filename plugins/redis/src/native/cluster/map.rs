//! The slots of a cluster and the primaries that serve them, as the cluster's own nodes tell.

use crate::{options::Address, route::Primary, wire};
use crc16::{State, XMODEM};
use redis::{Cmd, Value, cmd};
use std::{collections::HashMap, sync::Arc};
use studio_plugin_api::DriverError;

/// The most nodes that one cluster may have. Redis itself advises against more than a thousand.
pub(super) const MAX_NODES: usize = 512;

/// As many slots as every cluster has.
pub(super) const SLOTS: usize = 16384;

/// Which primary serves which slot.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// In the order of their ids, which no change of the slots disturbs.
    primaries: Vec<Primary>,
    replicas: Vec<Address>,
    /// First slot, last slot, place in `primaries`; in the order of the slots.
    ranges: Vec<(u16, u16, usize)>,
}

/// The questions that a [`Map`] is read from.
pub(super) fn questions() -> [Cmd; 2] {
    let ask = |what| {
        let mut question = cmd("CLUSTER");
        question.arg(what);
        question
    };
    [ask("SLOTS"), ask("NODES")]
}

impl Map {
    /// Reads the answers to [`questions`], which the node at this address gave.
    pub(super) fn read(slots: Value, nodes: Value, asked: &Address) -> Result<Self, DriverError> {
        let unexpected = || DriverError::unexpected_answer("CLUSTER SLOTS");
        if matches!(&slots, Value::ServerError(error) if error.code() == "ERR") {
            return Err(DriverError::connection("unsupported", "the server is no node of a cluster"));
        }
        let mut replicas = Vec::new();
        let mut primaries: HashMap<Arc<str>, Primary> = HashMap::new();
        let mut served = Vec::new();
        for range in wire::items(wire::check(slots)?).ok_or_else(unexpected)? {
            let (first, last, primary) = read_range(range, asked, &mut replicas).ok_or_else(unexpected)?;
            if served.len() == SLOTS {
                return Err(unexpected());
            }
            served.push((first, last, primary.id.clone()));
            primaries.entry(primary.id.clone()).or_insert(primary);
            if primaries.len() > MAX_NODES {
                let message = "the cluster names more nodes than a gateway connects to";
                return Err(DriverError::connection("unsupported", message));
            }
        }
        // A node that gets its first slot has keys before it serves any. A user who may not ask for the nodes misses
        // no more than that.
        if let Some(text) = wire::check(nodes).ok().and_then(wire::text) {
            for primary in without_slots(&text, &primaries) {
                if primaries.len() < MAX_NODES {
                    primaries.entry(primary.id.clone()).or_insert(primary);
                }
            }
        }
        let mut primaries: Vec<_> = primaries.into_values().collect();
        primaries.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let place = |id: &str| primaries.binary_search_by(|primary| (*primary.id).cmp(id)).ok();
        let mut ranges: Vec<_> =
            served.into_iter().filter_map(|(first, last, id)| Some((first, last, place(&id)?))).collect();
        ranges.sort_unstable();
        Ok(Self { primaries, replicas, ranges })
    }

    /// All primaries, in the order of their ids.
    pub(super) fn primaries(&self) -> &[Primary] {
        &self.primaries
    }

    /// All replicas of those that serve slots.
    pub(super) fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// The primary that serves a slot; none where no node does.
    pub(super) fn primary(&self, slot: u16) -> Option<&Primary> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, place) = self.ranges.get(after.checked_sub(1)?)?;
        if slot <= *last { self.primaries.get(*place) } else { None }
    }
}

fn read_range(range: Value, asked: &Address, replicas: &mut Vec<Address>) -> Option<(u16, u16, Primary)> {
    let mut parts = wire::items(range)?.into_iter();
    let mut slot = || u16::try_from(wire::integer(&parts.next()?)?).ok();
    let (first, last) = (slot()?, slot()?);
    let (id, address) = read_node(parts.next()?, asked)?;
    for replica in parts.filter_map(|replica| read_node(replica, asked)).map(|(_, address)| address) {
        if replicas.len() < MAX_NODES && !replicas.contains(&replica) {
            replicas.push(replica);
        }
    }
    Some((first, last, Primary { id: id.into(), address: Arc::new(address) }))
}

fn read_node(node: Value, asked: &Address) -> Option<(String, Address)> {
    let mut parts = wire::items(node)?.into_iter();
    // A cluster may leave out the host, which then is the one that was asked.
    let host = wire::text(parts.next()?).filter(|host| !matches!(host.as_str(), "" | "?"));
    let host = host.unwrap_or_else(|| asked.host.clone());
    let port = u16::try_from(wire::integer(&parts.next()?)?).ok()?;
    Some((wire::text(parts.next()?)?, Address { host, port }))
}

/// The primaries that serve no slot, out of the answer to `CLUSTER NODES`. One that is down is left out: the cluster
/// misses nothing of it.
fn without_slots(text: &str, known: &HashMap<Arc<str>, Primary>) -> Vec<Primary> {
    // Where the cluster names its nodes by host names, those are what certificates are made for.
    let mut by_name = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [id, place, flags, _primary, _ping, _pong, _epoch, link, slots @ ..] = words.as_slice() else {
            continue;
        };
        let Some((address, rest)) = place.split_once('@') else { continue };
        let name = rest.split(',').nth(1).filter(|name| !name.is_empty());
        if let Some(known) = known.get(*id) {
            by_name |= name.is_some_and(|name| name == known.address.host);
            continue;
        }
        let flagged = |flag| flags.split(',').any(|word| word == flag);
        let is_there = flagged("master")
            && !["fail", "noaddr", "handshake"].into_iter().any(flagged)
            && (*link == "connected" || flagged("myself"));
        let Some(address) = read_address(address).filter(|address| is_there && !address.host.is_empty())
        else {
            continue;
        };
        if slots.iter().all(|slot| slot.starts_with('[') || slot.is_empty()) {
            found.push(((*id).to_owned(), address, name));
        }
    }
    let primaries = found.into_iter().map(|(id, address, name)| {
        let host = name.filter(|_| by_name).map_or(address.host, str::to_owned);
        Primary { id: id.into(), address: Arc::new(Address { host, port: address.port }) }
    });
    primaries.collect()
}

/// `host:port`, as nodes write it: an IPv6 address stands there without brackets.
pub(super) fn read_address(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(Address { host: host.to_owned(), port: port.parse().ok().filter(|port| *port != 0)? })
}

/// Tells the slot of a key: of what stands between its first braces, where something does.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        rest.get(..rest.iter().position(|byte| *byte == b'}')?).filter(|tag| !tag.is_empty())
    });
    State::<XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Value, id: &str) -> Value {
        let node = Value::Array(vec![host, Value::Int(7000), text(id), Value::Array(Vec::new())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    fn asked() -> Address {
        Address { host: "seed".into(), port: 1 }
    }

    #[test]
    fn slots_lead_to_their_primary_however_they_are_scattered() {
        let slots = Value::Array(vec![
            range(5461, 10922, text("b.test"), "b"),
            range(0, 99, text("b.test"), "b"),
            range(100, 5460, text("a.test"), "a"),
            range(10923, 16000, Value::Nil, "c"),
        ]);
        let map = Map::read(slots, Value::Nil, &asked()).unwrap();
        let host = |slot| map.primary(slot).map(|primary| primary.address.host.clone());
        for (slot, expected) in
            [(0, "b.test"), (99, "b.test"), (100, "a.test"), (5461, "b.test"), (10923, "seed")]
        {
            assert_eq!(host(slot).unwrap(), expected, "{slot}");
        }
        assert_eq!((host(16001), host(16383)), (None, None));
        assert_eq!(map.primaries().iter().map(|primary| &*primary.id).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn primaries_without_slots_are_known_unless_they_are_down() {
        let slots = Value::Array(vec![range(0, 16383, text("one.test"), "a")]);
        let nodes = "a 10.0.0.1:7000@17000,one.test myself,master - 0 0 1 connected 0-16383 [5->-b]\n\
            b 10.0.0.2:7000@17000,two.test master - 0 0 2 connected [5-<-a]\n\
            c 10.0.0.3:7000@17000,three.test master,fail - 0 0 2 connected\n\
            d 10.0.0.4:7000@17000,four.test slave a 0 0 2 connected\n\
            e :0@0 master,noaddr - 0 0 2 disconnected\nodd\n";
        let map = Map::read(slots.clone(), text(nodes), &asked()).unwrap();
        let found: Vec<_> = map.primaries().iter().map(|primary| primary.address.host.as_str()).collect();
        assert_eq!(found, ["one.test", "two.test"]);
        let refused = redis::parse_redis_value(b"-NOPERM no\r\n").unwrap();
        assert_eq!(Map::read(slots, refused, &asked()).unwrap().primaries().len(), 1);
    }

    #[test]
    fn addresses_of_nodes_are_read() {
        let read = |text| read_address(text).map(|address| (address.host, address.port));
        assert_eq!(read("::1:7000"), Some(("::1".into(), 7000)));
        assert_eq!(read("[::1]:7000"), Some(("::1".into(), 7000)));
        assert_eq!(read(":7000"), Some((String::new(), 7000)));
        assert_eq!((read("h"), read("h:0"), read("h:70000")), (None, None, None));
    }

    #[test]
    fn slots_are_those_that_cluster_keyslot_tells() {
        let keys: [(&[u8], u16); 6] = [
            (b"", 0),
            (b"123456789", 12739),
            (b"{user}.a", 5474),
            (b"a{user}b{x}", 5474),
            (b"foo", 12182),
            (b"{}foo", 9500),
        ];
        for (key, expected) in keys {
            assert_eq!(slot(key), expected, "{}", String::from_utf8_lossy(key));
        }
    }
}
