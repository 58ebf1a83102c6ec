//! Where in a cluster commands go, and how the answers of several nodes become one.

use crate::options::Address;
use std::sync::Arc;

/// Where in a cluster a command goes. A single server is every place.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the sandbox knows no clusters"))]
pub(crate) enum Route<'a> {
    /// To any node: each would answer the same.
    Any,
    /// To all nodes that it concerns, whose answers become one.
    Many(Spread),
    /// To the primary that has this key.
    Key(&'a [u8]),
    /// To this node and no other.
    Node(&'a Primary),
}

/// How a command goes to several nodes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the sandbox knows no clusters"))]
pub(crate) enum Spread {
    /// Each slot's keys to their own primary, as a command of their own: so many words a key, and so many at the end
    /// that belong to all.
    BySlot {
        /// The key and what follows it.
        step: usize,
        /// What stands behind the last key.
        shared: usize,
        /// How the answers become one.
        join: Join,
    },
    /// The same to all primaries.
    Primaries(Join),
    /// The same to all nodes, the replicas too.
    Nodes(Join),
}

/// How the answers of several nodes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the sandbox knows no clusters"))]
pub(crate) enum Join {
    /// Numbers are added up.
    Sum,
    /// All must do it.
    All,
    /// One must do it.
    One,
    /// Lists become one; of [`Spread::BySlot`], in the order of the keys.
    Lists,
    /// Lists of 0 and 1: 1 where all say so.
    Everywhere,
    /// Names with numbers: added up by name.
    Counts,
    /// The first that is something.
    First,
    /// A map of the nodes' addresses and their answers.
    ByNode,
}

/// One primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    /// The node's own id, which outlives a change of its address.
    pub(crate) id: Arc<str>,
    /// As the cluster tells it.
    pub(crate) address: Arc<Address>,
}
