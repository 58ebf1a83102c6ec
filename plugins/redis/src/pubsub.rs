//! Publishing, and who listens.

use crate::{
    Redis,
    json_bytes::json_length,
    keys::{in_parts, read_name},
    route::{Join, Route, Spread},
    wire,
};
use redis::{Value, cmd};
use schemars::JsonSchema;
use serde_json::value::RawValue;
use std::collections::HashSet;
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// Which channels.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelsQuery {
    /// A glob; by default all. Bytes that are not UTF-8 are percent-encoded: `%AC%ED*`.
    pattern: Option<PathBytes>,
}

/// A channel that someone listens to.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Channel {
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_encoding: Option<Encoding>,
    /// Subscribers by its name; those by a pattern are not counted, as Redis does not tell.
    subscribers: i64,
    /// Always false: Redis lists channels, not patterns.
    pattern: bool,
}

/// What to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishBody {
    channel: String,
    /// `base64`: `channel` is base64.
    channel_encoding: Option<Encoding>,
    message: Message,
    /// `base64`: `message` is base64.
    message_encoding: Option<Encoding>,
}

/// A string is sent as it is, any other JSON as its text.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Message(Box<RawValue>);

impl JsonSchema for Message {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Message".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "a string is sent as it is, any other JSON as its text" })
    }
}

/// Who was reached.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Published {
    /// As PUBLISH counts them; in a cluster, those on the node that was asked.
    subscribers_reached: i64,
}

/// `GET /pubsub/channels`.
pub(crate) async fn channels(
    redis: Context<Redis>,
    query: Query<ChannelsQuery>,
) -> Result<Json<Vec<Channel>>, DriverError> {
    let mut ask = cmd("PUBSUB");
    ask.arg("CHANNELS");
    if let Some(PathBytes(pattern)) = &query.pattern
        && !pattern.is_empty()
    {
        ask.arg(pattern);
    }
    let unexpected = || DriverError::unexpected_answer("PUBSUB");
    let limit = redis.max_reply_bytes();
    let names = wire::items(
        redis.connection.query_within(&ask, Route::Many(Spread::Nodes(Join::Lists)), limit).await?,
    )
    .ok_or_else(unexpected)?;
    // In a cluster several nodes may name the same channel.
    let mut names: Vec<_> =
        names.into_iter().filter_map(wire::bytes).collect::<HashSet<_>>().into_iter().collect();
    if names.is_empty() {
        return Ok(Json(Vec::new()));
    }
    names.sort_unstable();
    if names.iter().map(|name| json_length(name)).sum::<u64>() > limit {
        return Err(DriverError::result_too_large(limit));
    }
    let everywhere = Route::Many(Spread::Nodes(Join::Counts));
    let mut channels = Vec::with_capacity(names.len());
    for part in in_parts(names) {
        let mut count = cmd("PUBSUB");
        count.arg("NUMSUB").arg(part);
        let counted = wire::pairs(redis.connection.query_within(&count, everywhere, limit).await?)
            .ok_or_else(unexpected)?;
        channels.extend(counted.into_iter().filter_map(read_channel));
    }
    channels.sort_unstable_by(|one, other| one.channel.cmp(&other.channel));
    Ok(Json(channels))
}

fn read_channel((name, subscribers): (Value, Value)) -> Option<Channel> {
    let (channel, channel_encoding) = encoding::show(wire::bytes(name)?);
    Some(Channel { channel, channel_encoding, subscribers: wire::integer(&subscribers)?, pattern: false })
}

/// `POST /pubsub/publish`.
pub(crate) async fn publish(
    redis: Context<Redis>,
    body: Body<PublishBody>,
) -> Result<Json<Published>, DriverError> {
    let channel = read_name(&body.channel, body.channel_encoding, "channel")?;
    let message = read_message(&body.message.0, body.message_encoding)?;
    let mut publish = cmd("PUBLISH");
    publish.arg(channel).arg(message);
    let reached = redis.connection.query(&publish, Route::Any).await?;
    let subscribers_reached =
        wire::integer(&reached).ok_or_else(|| DriverError::unexpected_answer("PUBLISH"))?;
    Ok(Json(Published { subscribers_reached }))
}

fn read_message(json: &RawValue, encoding: Option<Encoding>) -> Result<Vec<u8>, DriverError> {
    match serde_json::from_str::<String>(json.get()) {
        Ok(text) => read_name(&text, encoding, "message"),
        Err(_) if encoding == Some(Encoding::Base64) => {
            Err(DriverError::field("message", "must be a string to be base64"))
        }
        Err(_) => Ok(json.get().trim().as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_text_json_or_base64() {
        let read =
            |json: &str, encoding| read_message(&serde_json::from_str::<Message>(json).unwrap().0, encoding);
        assert_eq!(read(r#""a""#, None).unwrap(), b"a");
        assert_eq!(read(r#"{"b": [1.0,null]}"#, None).unwrap(), br#"{"b": [1.0,null]}"#);
        assert_eq!(read(r#""/w==""#, Some(Encoding::Base64)).unwrap(), [0xFF]);
        assert_eq!(read("1", Some(Encoding::Base64)).unwrap_err().details["field"], "message");
    }
}
