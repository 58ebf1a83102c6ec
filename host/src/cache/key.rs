//! The key by which a kept reply is found.

use crate::{
    plugins::Driver,
    registry::{Connection, ConnectionId},
};
use std::{
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::LazyLock,
};
use studio_plugin_api::{Access, Call};

/// Makes hashes with random keys, so that no caller can choose parameters with equal hashes.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Everything that a reply depends on besides the database. Two calls with one key have one reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The hash of all fields below, made once, since a key is looked up in several places.
    hash: u64,
    pub(super) connection: ConnectionId,
    settings_version: i64,
    /// The number of the driver's load: a reloaded driver shares no replies with the one before.
    driver: u64,
    operation: u32,
    granted: Access,
    parameters: Box<[u8]>,
}

impl Key {
    /// Makes the key of a call on a connection by a driver.
    pub fn new(connection: &Connection, driver: &Driver, call: &Call) -> Self {
        let parameters = canonical(&call.path, &call.query);
        let (version, driver) = (connection.settings_version, driver.load_number());
        Self::made_of(connection.id, version, driver, call.operation, call.granted, parameters)
    }

    fn made_of(
        connection: ConnectionId,
        settings_version: i64,
        driver: u64,
        operation: u32,
        granted: Access,
        parameters: Box<[u8]>,
    ) -> Self {
        let hash = HASHER.hash_one((connection, settings_version, driver, operation, granted, &parameters));
        Self { hash, connection, settings_version, driver, operation, granted, parameters }
    }

    /// Makes the key of a made-up call.
    #[cfg(test)]
    pub(super) fn made_up(connection: ConnectionId, parameter: &str) -> Self {
        Self::made_of(connection, 1, 1, 0, Access::Read, canonical(&[parameter.into()], &[]))
    }

    /// Estimates the bytes that it takes in memory.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.parameters.len()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Writes all parameters as bytes, which are the same for calls that differ only in the order of their query
/// parameters. Values of one name keep their order, which may matter to a driver.
fn canonical(path: &[Vec<u8>], query: &[(String, String)]) -> Box<[u8]> {
    let mut ordered: Vec<&(String, String)> = query.iter().collect();
    ordered.sort_by_key(|(name, _)| name);
    let parts = || {
        let values = ordered.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        path.iter().map(Vec::as_slice).chain(values)
    };
    // Each part's length stands before it, so that two lists of parts never make one key. The operation tells how many
    // of the parts are path values.
    let mut bytes = Vec::with_capacity(parts().map(|part| part.len() + size_of::<u64>()).sum());
    for part in parts() {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn order_of_names_is_ignored_and_order_of_a_names_values_is_not() {
        let of = |pairs: &[(&str, &str)]| canonical(&[], &query(pairs));
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "1"), ("a", "2")]), of(&[("a", "2"), ("a", "1")]));
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        assert_ne!(canonical(&[b"\xFF".to_vec()], &[]), canonical(&["\u{FFFD}".into()], &[]));
        assert_ne!(
            canonical(&[b"a".to_vec(), b"b".to_vec()], &[]),
            canonical(&[b"ab".to_vec(), vec![]], &[])
        );
    }

    proptest! {
        /// Compares parameters of one operation, which have the same number of path values.
        #[test]
        fn different_parameters_never_make_one_key(
            one in (vec(vec(any::<u8>(), 0..4), 2), vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4)),
            other in (vec(vec(any::<u8>(), 0..4), 2), vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4)),
        ) {
            let ordered = |(path, mut query): (Vec<Vec<u8>>, Vec<(String, String)>)| {
                query.sort_by(|(one, _), (other, _)| one.cmp(other));
                (path, query)
            };
            let same_key = canonical(&one.0, &one.1) == canonical(&other.0, &other.1);
            prop_assert_eq!(same_key, ordered(one) == ordered(other));
        }
    }
}
