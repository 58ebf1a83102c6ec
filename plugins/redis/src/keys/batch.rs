//! `POST /keys/batch`.
//!
//! Everything is checked before anything is sent. What is sent goes in one pipeline, in order; in a cluster each
//! operation goes to its key's node by itself, all at once, so that operations on different keys have no order there.
//! A batch is no transaction: one operation's failure does not undo another.

use super::{
    KeyType, command,
    expiry::command_to_expire,
    no_such_key, read_name, read_ttl,
    value::JsonValue,
    write::{SetBody, Setting},
};
use crate::{Redis, connection::Route, wire};
use futures_util::future::join_all;
use redis::{Pipeline, Value};
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

    let outcomes = if redis.connection.is_cluster() {
        let sent = planned.iter().map(|operation| send_alone(&redis, operation));
        join_all(sent).await
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
            Work::Set(Setting::new(&body, prefix)?)
        }
    };
    Ok(Planned { action: operation.action, key, work })
}

impl Planned {
    /// Adds its commands to a pipeline; they are as many as [`Planned::commands`] says.
    fn add_to(&self, pipeline: &mut Pipeline) {
        match &self.work {
            Work::Set(setting) => pipeline.add_command(setting.command(&self.key)),
            Work::Delete => pipeline.add_command(command("DEL", &self.key)),
            Work::Expire(ttl) => pipeline
                .add_command(command("EXISTS", &self.key))
                .add_command(command_to_expire(&self.key, *ttl)),
        };
    }

    fn commands(&self) -> usize {
        if matches!(self.work, Work::Expire(_)) { 2 } else { 1 }
    }

    fn outcome(&self, answers: Vec<Value>) -> Result<(), DriverError> {
        let mut answers = answers.into_iter();
        let first = answers.next().unwrap_or_default();
        if let Work::Set(setting) = &self.work {
            return setting.outcome(first).map(drop);
        }
        if wire::integer(&wire::check(first)?) == Some(0) {
            return Err(no_such_key());
        }
        answers.try_for_each(|answer| wire::check(answer).map(drop))
    }
}

async fn send_together(
    redis: &Redis,
    planned: &[Planned],
) -> Result<Vec<Result<(), DriverError>>, DriverError> {
    let mut pipeline = Pipeline::with_capacity(planned.len() * 2);
    for operation in planned {
        operation.add_to(&mut pipeline);
    }
    let mut answers = redis.connection.pipeline(pipeline, Route::Any).await?.into_iter();
    let outcomes = planned
        .iter()
        .map(|operation| operation.outcome(answers.by_ref().take(operation.commands()).collect()));
    Ok(outcomes.collect())
}

async fn send_alone(redis: &Redis, operation: &Planned) -> Result<(), DriverError> {
    let mut pipeline = Pipeline::with_capacity(2);
    operation.add_to(&mut pipeline);
    operation.outcome(redis.connection.pipeline(pipeline, Route::Key(&operation.key)).await?)
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
