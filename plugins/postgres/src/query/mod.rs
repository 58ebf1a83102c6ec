//! `POST /query`: a caller's own SQL.

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
    results::{Column, ResultSet, ResultSets, Rows, Shape},
    statement::Statement,
    wire::SIZE,
};
use manner::Manner;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use studio_plugin_api::{
    Access, Body, Context, DriverError, Either, ErrorCode, OnlyRead, Operations, Query, RawJson,
};
use tokio::time::timeout;
use tokio_postgres::types::Type;

/// The longest time that can be asked for, in seconds.
const LONGEST: f64 = 86_400.0;

/// How long the names of types may take, which are left out rather than waited for; and their bytes.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);
const NAMES_SIZE: u64 = 1 << 20;

/// Both forms of a reply: of a caller who may only read, and of one who may write.
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
    run(&context, &limits, &query, parameters, &mut results).await.map_err(|failure| match failure {
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
    Ok(answer(&context, json))
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
    let mut connection = ran.map_err(|failure| match failure {
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
    Ok(answer(&context, json))
}

fn answer(context: &Context<Postgres>, json: Vec<u8>) -> Answer {
    let json = RawJson::new(json);
    match context.read_only() {
        true => Either::Second(OnlyRead(json)),
        false => Either::First(json),
    }
}

/// Runs a query. Of a caller who may only read it must be one statement that the guard lets through.
async fn run(
    context: &Context<Postgres>,
    limits: &Limits,
    query: &str,
    parameters: Vec<Option<String>>,
    results: &mut ResultSets,
) -> Result<Borrowed, Failure> {
    if query.is_empty() {
        return Err(DriverError::validation("query", "query not found").into());
    }
    let work = async {
        let text = encoding::keep(query).into_owned();
        let text = match context.granted() {
            Access::Write => guard::server::check(text).await?,
            Access::Read | Access::Admin => text,
        };
        let input = if context.granted() == Access::Read {
            guard::check(context, &text).await?;
            let role = context.viewer_role().map(str::to_owned);
            Input::ReadOnly(Statement { parameters, ..Statement::new(text) }, role)
        } else if parameters.is_empty() {
            Input::Simple(text)
        } else {
            Input::Extended(Statement { parameters, ..Statement::new(text) })
        };
        let connection = context.run(context, &input, limits.statement, results).await?;
        encoding::check(&connection, results)?;
        Ok(connection)
    };
    match limits.query {
        None => work.await,
        Some(time) => timeout(time, work).await.unwrap_or_else(|_| {
            Err(Failure::Left(DriverError::new(ErrorCode::Timeout, "Query read timeout")))
        }),
    }
}

fn write_set(mut set: ResultSet, names: &HashMap<u32, String>, json: &mut Vec<u8>) {
    let fields: Vec<Value> = set
        .rows
        .columns()
        .iter()
        .map(|column| {
            let name = type_name(column.type_oid, names);
            let mut field = json!({"name": column.name, "data_type_id": column.type_oid, "data_type": name});
            if let (Some(key), Some(field)) = (&column.renamed, field.as_object_mut()) {
                field.insert("key".to_owned(), key.as_str().into());
            }
            field
        })
        .collect();
    // The server calls an array's type by that of its elements, after an underscore.
    let is_array = |column: &Column| names.get(&column.type_oid).is_some_and(|name| name.starts_with('_'));
    set.rows.close_arrays(is_array);
    json.extend_from_slice(b"{\"rows\":");
    json.append(&mut set.rows.into_array());
    let mut rest = json!({"fields": fields, "command": set.command, "row_count": set.row_count});
    if let Some(rest) = rest.as_object_mut().filter(|_| set.leaves_out_copy) {
        let warning = "the rows of COPY … TO STDOUT are not in the answer: select them";
        rest.insert("warning".to_owned(), warning.into());
    }
    let rest = rest.to_string();
    json.push(b',');
    json.extend_from_slice(rest.get(1..).unwrap_or_default().as_bytes());
}

fn type_name(oid: u32, names: &HashMap<u32, String>) -> Option<String> {
    Type::from_oid(oid).map(|known| known.name().to_owned()).or_else(|| names.get(&oid).cloned())
}

/// The names of the types that are not PostgreSQL's own, as far as they can be had: what a caller ran is done, and asking
/// for a name must not make it fail.
async fn name_types(
    context: &Context<Postgres>,
    connection: &mut Borrowed,
    sets: &[ResultSet],
) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    let mut unknown = BTreeSet::new();
    for column in sets.iter().flat_map(|set| set.rows.columns()) {
        let oid = column.type_oid;
        if Type::from_oid(oid).is_some() || names.contains_key(&oid) {
            continue;
        }
        match context.type_names.get(oid) {
            Some(name) => drop(names.insert(oid, name)),
            None => drop(unknown.insert(oid)),
        }
    }
    if unknown.is_empty() {
        return names;
    }
    let oids: Vec<_> = unknown.iter().map(u32::to_string).collect();
    let question = Statement::new(
        "select oid::int8 as oid, typname::text as name from pg_catalog.pg_type where oid = any($1::oid[])",
    );
    let question = question.bind_list(Some(&oids));
    let asking = async {
        match connection.settle().await {
            true => context.look_up(connection, &question, NAMES_SIZE).await.ok(),
            false => None,
        }
    };
    // The caller's own time is kept for what was done.
    let time = NAMES_TIMEOUT.min(context.time_left() / 2);
    let rows = timeout(time, asking).await.ok().flatten().map(Rows::into_array).unwrap_or_default();
    #[derive(Deserialize)]
    struct Named {
        oid: u32,
        name: String,
    }
    for Named { oid, name } in serde_json::from_slice::<Vec<Named>>(&rows).unwrap_or_default() {
        context.type_names.learn(oid, &name);
        names.insert(oid, name);
    }
    names
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
