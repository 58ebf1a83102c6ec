//! `POST /query`: a caller's own SQL.

mod answer;
mod encoding;
mod manner;
mod parameters;
mod psql;

use crate::{
    Postgres,
    errors::Failure,
    exchange::Input,
    extent, guard,
    lenient::javascript::number_of,
    pool::Borrowed,
    proof,
    results::{ResultSets, Shape},
    statement::Statement,
    wire::SIZE,
};
use answer::{name_types, write_set};
use manner::Manner;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, time::Duration};
use studio_plugin_api::{
    Access, Body, Context, DriverError, Either, ErrorCode, OnlyRead, Operations, Query, RawJson,
};
use tokio::time::timeout;

/// The longest time that can be asked for, in seconds.
const LONGEST: f64 = 86_400.0;

/// Both forms of a reply: of a query that may write, and of one that only reads.
type Answer = Either<RawJson, OnlyRead<RawJson>>;

/// The operation for `postgres/`.
pub(crate) fn enveloped(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations.post("/query", run_enveloped).per_call().summary("Run SQL; viewers' may change nothing")
}

/// The operation for `pg-meta/`.
pub(crate) fn bare(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations.post("/query", run_bare).per_call().summary("Run SQL; viewers' may change nothing")
}

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct QueryBody {
    /// One statement or, without parameters and for those who may write, several.
    #[serde(default)]
    query: String,
    /// The values for `$1`, `$2` …
    #[serde(default)]
    #[schemars(with = "Option<Vec<Value>>")]
    parameters: Option<Box<RawValue>>,
}

/// The request's body under `pg-meta/`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct BareBody {
    /// One statement or, without parameters and for those who may write, several.
    #[serde(default)]
    query: String,
    /// The values for `$1`, `$2` …
    #[serde(default)]
    #[schemars(with = "Option<Vec<Value>>")]
    parameters: Option<Box<RawValue>>,
    /// `true` lifts the statement timeout of the connection or the login. Anything else leaves it.
    #[serde(default, deserialize_with = "extent::bounded")]
    #[schemars(with = "bool")]
    disable_statement_timeout: Value,
}

/// How long a query may take, in seconds.
struct Times {
    /// One statement on the server.
    statement_timeout_secs: Option<f64>,
    /// All of it.
    query_timeout_secs: Option<f64>,
}

/// The query parameters under `pg-meta/`, as they were written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct BareTimes {
    /// Seconds that one statement may take on the server.
    #[schemars(with = "Option<f64>")]
    statement_timeout_secs: Option<String>,
    /// Seconds that the caller waits for all of it; what is no number is none.
    #[schemars(with = "Option<f64>")]
    query_timeout_secs: Option<String>,
}

impl BareTimes {
    /// Both, where the server takes them: it has no longer statement timeout than 2^31 - 1 milliseconds.
    fn read(&self) -> Result<Limits, DriverError> {
        let statement = self.statement_timeout_secs.as_deref().map(|text| {
            let seconds =
                number_of(text).filter(|seconds| !text.is_empty() && (0.0..=2_147_483.0).contains(seconds));
            seconds.ok_or_else(|| {
                let message = format!("invalid value for parameter \"statement_timeout\": \"{text}s\"");
                DriverError::query("22023", message)
            })
        });
        let query =
            self.query_timeout_secs.as_deref().and_then(number_of).map(|seconds| seconds.min(LONGEST));
        Times { statement_timeout_secs: statement.transpose()?, query_timeout_secs: query }
            .limits(2_147_483.0)
    }
}

/// How long a query may take.
struct Limits {
    /// One statement, in milliseconds.
    statement: Option<u64>,
    /// All of it.
    query: Option<Duration>,
}

impl Times {
    /// Both, checked.
    fn read(&self) -> Result<Limits, DriverError> {
        self.limits(LONGEST)
    }

    fn limits(&self, longest: f64) -> Result<Limits, DriverError> {
        let read = |name: &str, seconds: Option<f64>| match seconds {
            None => Ok(None),
            Some(seconds) if (0.0..=longest).contains(&seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
            Some(_) => Err(DriverError::validation(name, format!("`{name}` must be from 0 to {longest}"))),
        };
        let statement = read("statementTimeoutSecs", self.statement_timeout_secs)?;
        let query = read("queryTimeoutSecs", self.query_timeout_secs)?;
        // Zero is none, for both. What is less than a millisecond is not.
        let statement = statement.map(|time| u64::try_from(time.as_nanos().div_ceil(1_000_000)));
        let query = query.filter(|time| !time.is_zero());
        Ok(Limits { statement: statement.transpose().unwrap_or_default(), query })
    }
}

async fn run_bare(
    context: Context<Postgres>,
    times: Query<BareTimes>,
    body: Body<BareBody>,
) -> Result<Answer, DriverError> {
    let limits = times.read()?;
    let mut results = ResultSets::new(Shape::PostgresMeta, context.max_reply_bytes());
    let BareBody { query, parameters, disable_statement_timeout } = body.0;
    let parameters = parameters::read_leniently(parameters.as_deref())?;
    let lifted = (disable_statement_timeout == Value::Bool(true)).then_some(0);
    let limits = Limits { statement: limits.statement.or(lifted), ..limits };
    let ran = run(&context, &limits, &query, parameters, &mut results).await;
    let (_, only_reads) = ran.map_err(|failure| match failure {
        Failure::Refused(error) => psql::describe(&error, &query),
        Failure::Left(error) if error.code == ErrorCode::ResultTooLarge => {
            let limit = context.max_reply_bytes();
            let size = error.details.get(SIZE).and_then(Value::as_u64).unwrap_or(limit + 1);
            let message =
                format!("Query result size ({size} bytes) exceeded the configured limit ({limit} bytes)");
            let error = DriverError::new(ErrorCode::QueryError, message.clone())
                .with("message", message)
                .with("code", "RESULT_SIZE_EXCEEDED")
                .with("resultSize", size)
                .with("maxResultSize", limit);
            Failure::Left(error).into_error(!context.read_only())
        }
        failure => {
            let error = failure.into_error(!context.read_only());
            let message = error.message.clone();
            error.with("message", message)
        }
    })?;
    let json = results.sets.pop().map_or_else(|| b"[]".to_vec(), |set| set.rows.into_array());
    Ok(answer(only_reads, json))
}

async fn run_enveloped(
    context: Context<Postgres>,
    manner: Query<Manner>,
    body: Body<QueryBody>,
) -> Result<Answer, DriverError> {
    let parameters = parameters::read(body.parameters.as_deref())?;
    let limit = context.max_reply_bytes();
    let mut results = ResultSets::new(manner.shape(), limit);
    let ran = run(&context, &manner.times().read()?, &body.query, parameters, &mut results).await;
    let (mut connection, only_reads) = ran.map_err(|failure| match failure {
        Failure::Refused(error) if error.is_interruption() => error.into_error_of(ErrorCode::Timeout),
        failure => failure.into_error(!context.read_only()),
    })?;
    let names = name_types(&context, &mut connection, &results.sets).await;
    drop(connection);
    let mut json = Vec::new();
    let mut sets = results.sets.into_iter();
    match (sets.next(), sets.len()) {
        (Some(only), 0) => write_set(only, &names, &mut json),
        (first, _) => {
            json.push(b'[');
            for (index, set) in first.into_iter().chain(sets).enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_set(set, &names, &mut json);
            }
            json.push(b']');
        }
    }
    if json.len() as u64 > limit {
        let error = DriverError::result_too_large(limit).with(SIZE, json.len());
        return Err(Failure::Left(error).into_error(!context.read_only()));
    }
    Ok(answer(only_reads, json))
}

fn answer(only_reads: bool, json: Vec<u8>) -> Answer {
    let json = RawJson::new(json);
    match only_reads {
        true => Either::Second(OnlyRead(json)),
        false => Either::First(json),
    }
}

/// Runs a query. Of a caller who may only read it must be one statement that the guard lets through. Whether it only
/// reads is known of that, and of what is proved to.
async fn run(
    context: &Context<Postgres>,
    limits: &Limits,
    query: &str,
    parameters: Vec<Option<String>>,
    results: &mut ResultSets,
) -> Result<(Borrowed, bool), Failure> {
    if query.is_empty() {
        return Err(DriverError::validation("query", "query not found").into());
    }
    let work = async {
        let (input, only_reads) = read(context, limits, query, parameters).await?;
        let connection = context.run(context, &input, limits.statement, results).await?;
        encoding::check(&connection, results)?;
        Ok((connection, only_reads))
    };
    match limits.query {
        None => work.await,
        Some(time) => timeout(time, work).await.unwrap_or_else(|_| {
            Err(Failure::Left(DriverError::new(ErrorCode::Timeout, "Query read timeout")))
        }),
    }
}

/// How a query is to be run, and whether it is known that it only reads.
///
/// # Errors
/// `FORBIDDEN` for what the caller may not run; and those of the guard.
async fn read(
    context: &Context<Postgres>,
    limits: &Limits,
    query: &str,
    parameters: Vec<Option<String>>,
) -> Result<(Input, bool), DriverError> {
    let with = |text: Cow<'_, str>, parameters| Statement { parameters, ..Statement::new(text.into_owned()) };
    if context.granted() == Access::Read {
        let text = encoding::keep(query);
        guard::check(context, &text).await?;
        let role = context.viewer_role().map(str::to_owned);
        return Ok((Input::ReadOnly(with(text, parameters), role), true));
    }
    let proof = proof::of(context, query, !parameters.is_empty()).await;
    let only_reads = proof.is_some_and(|proof| proof.only_reads);
    // A timeout is a setting, which has to be taken back.
    if let Some(proof) = proof.filter(|_| limits.statement.is_none()) {
        return Ok((Input::Proved(with(query.into(), parameters), proof), only_reads));
    }
    let text = encoding::keep(query);
    let text = match context.granted() {
        Access::Write => Cow::Owned(guard::server::check(text.into_owned()).await?),
        Access::Read | Access::Admin => text,
    };
    let input = match parameters.is_empty() {
        true => Input::Simple(text.into_owned()),
        false => Input::Extended(with(text, parameters)),
    };
    Ok((input, only_reads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(statement: &str, query: &str) -> Result<(Option<u64>, Option<Duration>), DriverError> {
        let given = |text: &str| (text != "-").then(|| text.to_owned());
        let times = BareTimes { statement_timeout_secs: given(statement), query_timeout_secs: given(query) };
        times.read().map(|limits| (limits.statement, limits.query))
    }

    #[test]
    fn statements_have_the_time_that_the_server_reads() {
        for (text, time) in [
            ("-", None),
            ("0", Some(0)),
            ("1.5", Some(1500)),
            (" 0x5 ", Some(5000)),
            ("86401", Some(86_401_000)),
        ] {
            assert_eq!(read(text, "-").unwrap().0, time, "{text}");
        }
        for text in ["", "x", "-1", "5s", "2147484"] {
            assert!(read(text, "-").is_err(), "{text}");
        }
    }

    #[test]
    fn timeout_is_unlimited_if_absent_and_at_most_a_day() {
        for text in ["-", "", "0", "x", "NaN", "undefined"] {
            assert_eq!(read("-", text).unwrap().1, None, "{text}");
        }
        assert_eq!(read("-", "1.5").unwrap().1, Some(Duration::from_millis(1500)));
        assert_eq!(read("-", "1e30").unwrap().1, Some(Duration::from_secs(86_400)));
        assert!(read("-", "-1").is_err());
    }
}
