//! Options with secrets further in, and what the driver was given of them: their lengths.

use crate::Probe;
use std::collections::BTreeMap;
use studio_plugin_api::prelude::*;

/// A server, with others behind it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    host: String,
    token: Option<Secret>,
    #[serde(default)]
    behind: Vec<Node>,
}

/// Secrets in lists, in maps, and in a schema that leads back to itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deep {
    #[serde(default)]
    nodes: Vec<Node>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    keys: Vec<Secret>,
}

/// The lengths of all of them; those of nodes by their hosts.
#[derive(Serialize, JsonSchema)]
pub struct Lengths {
    nodes: BTreeMap<String, Option<usize>>,
    headers: BTreeMap<String, usize>,
    keys: Vec<usize>,
}

pub(super) async fn lengths(probe: Context<Probe>) -> Result<Json<Lengths>, DriverError> {
    fn collect(node: &Node, lengths: &mut BTreeMap<String, Option<usize>>) {
        lengths.insert(node.host.clone(), node.token.as_ref().map(|token| token.expose().len()));
        node.behind.iter().for_each(|node| collect(node, lengths));
    }
    let deep = &probe.options.deep;
    let mut nodes = BTreeMap::new();
    deep.nodes.iter().for_each(|node| collect(node, &mut nodes));
    let length = |secret: &Secret| secret.expose().len();
    Ok(Json(Lengths {
        nodes,
        headers: deep.headers.iter().map(|(name, secret)| (name.clone(), length(secret))).collect(),
        keys: deep.keys.iter().map(length).collect(),
    }))
}
