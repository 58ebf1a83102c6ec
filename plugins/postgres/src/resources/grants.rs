//! What grants on tables and on columns have in common.

use super::selection::text;
use crate::{Postgres, prefix::Prefix, quote::identifier, results::Rows, statement::Statement};
use serde_json::Value;
use studio_plugin_api::{Context, DriverError, ErrorCode, RawJson};

/// A privilege as requests have it; the variants are PostgreSQL's words.
macro_rules! privileges {
    ($name:ident: $($variant:ident $word:literal),*) => {
        /// A privilege.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "UPPERCASE")]
        #[schemars(crate = "studio_plugin_api::schemars")]
        pub(super) enum $name { $($variant),* }

        impl $name {
            /// As SQL has it.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}
pub(super) use privileges;

/// One change of privileges.
pub(super) trait Grant: Send + Sync {
    /// The query that finds what they are all on, to be named: rows with an `id`, as [`target`](Self::target) has it.
    fn targets(grants: &[Self]) -> Statement
    where
        Self: Sized;
    /// The query for the privileges on all those.
    fn outcome(grants: &[Self]) -> Statement
    where
        Self: Sized;
    /// The id of what it is on.
    fn target(&self) -> String;
    /// What is said when there is no such thing.
    fn missing(&self) -> DriverError;
    /// The SQL for it, given the row of what it is on.
    fn sql(&self, target: &Value) -> String;
}

/// Makes the changes, and answers with the privileges that there are then.
pub(super) async fn change<F: Prefix, G: Grant>(
    context: Context<Postgres>,
    grants: &[G],
) -> Result<RawJson, DriverError> {
    let result = async {
        if !grants.is_empty() {
            let targets = context.rows(&context, &G::targets(grants)).await?;
            let sql = plan(grants, &read(&targets)?)?;
            return context.change_and_ask(&context, &sql, &G::outcome(grants)).await.map(Rows::into_array);
        }
        context.rows(&context, &G::outcome(grants)).await
    };
    result.await.map(RawJson::new).map_err(F::error)
}

/// The SQL for all of them.
pub(super) fn plan<G: Grant>(grants: &[G], targets: &[Value]) -> Result<String, DriverError> {
    let mut sql = String::new();
    for grant in grants {
        let id = grant.target();
        let target = targets.iter().find(|target| text(target, "id") == id).ok_or_else(|| grant.missing())?;
        sql += &grant.sql(target);
    }
    Ok(sql)
}

/// A role that is given privileges, or everyone.
pub(super) fn grantee(name: &str) -> String {
    if name.eq_ignore_ascii_case("public") { "public".to_owned() } else { identifier(name) }
}

fn read(rows: &[u8]) -> Result<Vec<Value>, DriverError> {
    serde_json::from_slice(rows).map_err(|error| {
        DriverError::new(ErrorCode::DriverError, format!("rows of the catalogs are no JSON: {error}"))
    })
}
