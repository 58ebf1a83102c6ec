//! `POST /keys/batch`.
//!
//! Everything is checked before anything is sent. What is sent goes in one pipeline, in order; in a cluster each
//! operation goes to its key's node by itself, all at once, so that operations on different keys have no order there.
//! A batch is no transaction: one operation's failure does not undo another. Operations on one key keep their order.

use super::{
    KeyType, command,
    expiry::{commands_to_expire, read_expired},
    no_such_key, read_name, read_ttl, replace,
    setting::{Progress, Setting},
    value::JsonValue,
    write::SetBody,
};
use crate::{Redis, errors, route::Route, wire};
use futures_util::future::join_all;
use redis::{Cmd, Pipeline, Value};
use std::collections::HashMap;
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

const MAX_OPERATIONS: usize = 100;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    /// Up to 100.
    #[schemars(length(min = 1, max = 100))]
    operations: Vec<Operation>,
}

/// One operation. `value` and what belongs to it are for `set`; `ttl` is for `set` and, there required, `expire`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Operation {
    action: Action,
    key: String,
    /// `base64`: `key` is base64.
    key_encoding: Option<Encoding>,
    value: Option<JsonValue>,
    r#type: Option<KeyType>,
    /// Seconds to live; −1: no expiry.
    ttl: Option<i64>,
    nx: Option<bool>,
    xx: Option<bool>,
    /// `base64`: every string in `value` is base64.
    value_encoding: Option<Encoding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Set,
    Delete,
    Expire,
}

/// What became of every operation, in their order.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BatchAnswer {
    results: Vec<OperationResult>,
    summary: Summary,
}

#[derive(Serialize, JsonSchema)]
struct OperationResult {
    /// The operation's place in the request, from 0.
    index: usize,
    action: Action,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// As in an error answer.
#[derive(Serialize, JsonSchema)]
struct Failure {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    details: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total: usize,
    succeeded: usize,
    failed: usize,
}

/// A checked operation.
struct Planned {
    action: Action,
    key: Vec<u8>,
    work: Work,
}

enum Work {
    Set(Setting),
    Delete,
    /// Milliseconds; `None` removes the expiry.
    Expire(Option<i64>),
}

/// `POST /keys/batch`.
pub(crate) async fn batch(
    redis: Context<Redis>,
    body: Body<BatchBody>,
) -> Result<Json<BatchAnswer>, DriverError> {
    if !(1..=MAX_OPERATIONS).contains(&body.operations.len()) {
        let message = format!("`operations`: must be 1 to {MAX_OPERATIONS}, not {}", body.operations.len());
        return Err(DriverError::validation("operations", message));
    }
    let operations = body.0.operations.into_iter().enumerate();
    let planned = operations.map(|(index, operation)| plan(operation, &format!("operations[{index}].")));
    let planned = planned.collect::<Result<Vec<_>, _>>()?;

    let outcomes = if has_order(&planned) {
        let mut outcomes = Vec::with_capacity(planned.len());
        for operation in &planned {
            outcomes.push(send_alone(&redis, operation).await);
        }
        outcomes
    } else if redis.connection.is_cluster() {
        join_all(planned.iter().map(|operation| send_alone(&redis, operation))).await
    } else {
        send_together(&redis, &planned).await?
    };

    let results: Vec<_> = planned
        .into_iter()
        .zip(outcomes)
        .enumerate()
        .map(|(index, (operation, outcome))| show(index, operation, outcome.err()))
        .collect();
    let succeeded = results.iter().filter(|result| result.success).count();
    let summary = Summary { total: results.len(), succeeded, failed: results.len() - succeeded };
    Ok(Json(BatchAnswer { results, summary }))
}

fn plan(operation: Operation, prefix: &str) -> Result<Planned, DriverError> {
    let field = |name: &str| format!("{prefix}{name}");
    let key = read_name(&operation.key, operation.key_encoding, &field("key"))?;
    let missing =
        |name: &str| DriverError::validation(&field(name), format!("`{}`: is missing", field(name)));
    if operation.action != Action::Set {
        let foreign = [
            ("value", operation.value.is_some()),
            ("type", operation.r#type.is_some()),
            ("nx", operation.nx.is_some()),
            ("xx", operation.xx.is_some()),
            ("value_encoding", operation.value_encoding.is_some()),
            ("ttl", operation.ttl.is_some() && operation.action == Action::Delete),
        ];
        if let Some((name, _)) = foreign.iter().find(|(_, given)| *given) {
            let message = format!("`{}`: does not belong to this action", field(name));
            return Err(DriverError::validation(&field(name), message));
        }
    }
    let work = match operation.action {
        Action::Delete => Work::Delete,
        Action::Expire => {
            Work::Expire(read_ttl(operation.ttl.ok_or_else(|| missing("ttl"))?, &field("ttl"))?)
        }
        Action::Set => {
            let body = SetBody {
                value: operation.value.ok_or_else(|| missing("value"))?,
                r#type: operation.r#type,
                ttl: operation.ttl,
                nx: operation.nx.unwrap_or_default(),
                xx: operation.xx.unwrap_or_default(),
                value_encoding: operation.value_encoding,
            };
            Work::Set(body.check(prefix)?)
        }
    };
    Ok(Planned { action: operation.action, key, work })
}

/// Whether one operation has to wait for another: writes may take more than one round trip, and then those on the same
/// key would overtake them.
fn has_order(planned: &[Planned]) -> bool {
    let mut known = HashMap::new();
    planned.iter().any(|operation| {
        let waits =
            matches!(&operation.work, Work::Set(setting) if setting.value.key_type() != KeyType::String);
        let before = known.entry(operation.key.as_slice()).or_insert((0, false));
        *before = (before.0 + 1, before.1 || waits);
        before.0 > 1 && before.1
    })
}

impl Planned {
    fn commands(&self) -> Vec<Cmd> {
        match &self.work {
            Work::Set(setting) => vec![setting.command(&self.key)],
            Work::Delete => vec![command("DEL", &self.key)],
            Work::Expire(ttl) => commands_to_expire(&self.key, *ttl),
        }
    }

    /// Reads the answers, and does what is left to do.
    async fn finish(&self, redis: &Context<Redis>, answers: Vec<Value>) -> Result<(), DriverError> {
        let mut answers = answers.into_iter();
        match &self.work {
            Work::Expire(_) => read_expired(answers),
            Work::Delete => match wire::integer(&wire::check(answers.next().unwrap_or_default())?) {
                Some(0) => Err(no_such_key()),
                _ => Ok(()),
            },
            Work::Set(setting) => {
                match setting.read(answers.next().map_or_else(|| Err(errors::lost()), wire::check))? {
                    Progress::Done(_) => Ok(()),
                    Progress::NeedsTransaction(refusal) => {
                        replace::replace(redis, &self.key, setting, refusal).await.map(drop)
                    }
                }
            }
        }
    }
}

async fn send_together(
    redis: &Context<Redis>,
    planned: &[Planned],
) -> Result<Vec<Result<(), DriverError>>, DriverError> {
    let mut pipeline = Pipeline::with_capacity(planned.len() * 2);
    let mut counts = Vec::with_capacity(planned.len());
    for operation in planned {
        let commands = operation.commands();
        counts.push(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
    }
    let mut answers = redis.connection.pipeline(pipeline, Route::Any).await?.into_iter();
    let mut outcomes = Vec::with_capacity(planned.len());
    for (operation, count) in planned.iter().zip(counts) {
        outcomes.push(operation.finish(redis, answers.by_ref().take(count).collect()).await);
    }
    Ok(outcomes)
}

async fn send_alone(redis: &Context<Redis>, operation: &Planned) -> Result<(), DriverError> {
    if let Work::Set(setting) = &operation.work {
        return setting.write(redis, &operation.key).await.map(drop);
    }
    let mut pipeline = Pipeline::with_capacity(2);
    for command in operation.commands() {
        pipeline.add_command(command);
    }
    let answers = redis.connection.pipeline(pipeline, Route::Key(&operation.key)).await?;
    operation.finish(redis, answers).await
}

fn show(index: usize, operation: Planned, error: Option<DriverError>) -> OperationResult {
    let (key, key_encoding) = encoding::show(operation.key);
    OperationResult {
        index,
        action: operation.action,
        key,
        key_encoding,
        success: error.is_none(),
        error: error.map(|error| Failure {
            code: error.code.as_str(),
            message: error.message,
            details: error.details,
        }),
    }
}
