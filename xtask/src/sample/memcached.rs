//! A few items, written through the gateway.

use crate::gateway::Gateway;
use anyhow::{Result, bail};
use serde_json::json;

/// The list of its keys.
pub const SHOWN: &str = "/api/platform/memcached/default/keys";

/// Each item's key, value and time to live in seconds; 0 is no end.
const SAMPLE: [(&str, &str, u32); 3] = [
    ("greeting", "Hello from studio-gateway", 0),
    ("page:front", "<h1>Kept for an hour</h1>", 3600),
    ("counter:visits", "1042", 0),
];

/// Writes the sample data.
pub fn load(gateway: &Gateway) -> Result<()> {
    for (key, value, ttl) in SAMPLE {
        let path = format!("{SHOWN}/{key}");
        let mut item = json!({"value": value});
        if let (Some(item), true) = (item.as_object_mut(), ttl > 0) {
            item.insert("ttl".to_owned(), ttl.into());
        }
        match gateway.ask("POST", &path, Some(&item))? {
            (200 | 201, _) => {}
            (status, answer) => bail!("POST {path}: {status} {answer}"),
        }
    }
    Ok(())
}
