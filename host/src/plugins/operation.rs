//! An operation of a loaded driver. It is built once from its manifest and `plugins.toml`, when the driver is loaded;
//! each request carries it from its routing to its reply.

use super::{
    caching::{Caching, PluginCache},
    error::PluginError,
    file::PluginLimits,
    reply_format::ReplyFormat,
    schema::OperationSchemas,
};
use crate::meters::OperationMeters;
use std::{
    collections::HashSet,
    fmt::{Debug, Formatter},
    sync::Arc,
    time::Duration,
};
use studio_plugin_api::{
    Access, Alias, Call, DriverError,
    manifest::{AccessManifest, CheckedBy, Manifest, OperationManifest},
    operations::Method,
};

/// An operation of a loaded driver.
pub struct Operation {
    /// Its place in the manifest, by which the driver knows it.
    pub number: u32,
    /// The driver's type, as metrics and logs name it.
    pub database_type: Arc<str>,
    /// Method and path template, as metrics and logs name it: never with a caller's values in it.
    pub name: Arc<str>,
    /// The HTTP method.
    pub method: Method,
    /// The path template below the project.
    pub path: Arc<str>,
    /// The prefix of the alias that it is under; absent: the driver's type.
    pub alias: Option<String>,
    /// The access that a caller needs.
    pub access: AccessManifest,
    /// How long its replies are kept, if the driver declares them cacheable.
    pub caching: Option<Caching>,
    /// Paths whose kept replies its calls make stale.
    pub invalidates: Vec<Arc<str>>,
    /// The form in which its payloads are sent.
    pub format: ReplyFormat,
    /// The counts and times that its requests move: metrics of the one gateway that it is loaded in.
    pub(crate) meters: OperationMeters,
    /// The time that `plugins.toml` gives it.
    time: Option<Duration>,
    /// The query parameters that it takes, where it overlooks others.
    declared: Option<HashSet<String>>,
    /// The schemas that its callers are held to here; absent where the driver checks calls itself.
    schemas: Option<OperationSchemas>,
}

impl Debug for Operation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Operation({} {})", self.database_type, self.name)
    }
}

impl Operation {
    /// Builds all operations of a driver, in the manifest's order.
    ///
    /// # Errors
    /// Settings for operations that the driver does not have, or a schema that is not one.
    pub(super) fn build_all(
        manifest: &Manifest,
        limits: &PluginLimits,
        cache: &PluginCache,
        checked_by: CheckedBy,
    ) -> Result<Vec<Arc<Self>>, PluginError> {
        limits.check_operations(&manifest.operations).map_err(PluginError::Limits)?;
        cache.check_operations(&manifest.operations).map_err(PluginError::Cache)?;
        let database_type: Arc<str> = manifest.database_type.as_str().into();
        let build = |(number, row): (u32, &OperationManifest)| {
            let alias = row.alias.as_ref();
            let alias =
                alias.and_then(|prefix| manifest.aliases.iter().find(|alias| alias.prefix == *prefix));
            let schemas = match checked_by {
                CheckedBy::Host => {
                    Some(OperationSchemas::compile(number, row).map_err(PluginError::Manifest)?)
                }
                CheckedBy::Driver => None,
            };
            Ok(Arc::new(Self {
                number,
                database_type: database_type.clone(),
                name: format!("{} {}", row.method.as_str(), row.path).into(),
                method: row.method,
                path: row.path.as_str().into(),
                alias: row.alias.clone(),
                access: row.access,
                caching: cache.caching(row),
                invalidates: row.invalidates.iter().map(|path| path.as_str().into()).collect(),
                format: ReplyFormat::of(row, alias),
                meters: OperationMeters::default(),
                time: limits.operation_time(&row.path),
                declared: alias.filter(|alias: &&Alias| alias.lenient).map(|_| declared_parameters(row)),
                schemas,
            }))
        };
        (0..).zip(&manifest.operations).map(build).collect()
    }

    /// Gives the time that a call may take where the gateway allows all of them no more than `bound`.
    pub fn time_within(&self, bound: Duration) -> Duration {
        self.time.map_or(bound, |time| bound.min(time))
    }

    /// Tells whether a query parameter of this name is overlooked.
    pub fn overlooks(&self, parameter: &str) -> bool {
        self.declared.as_ref().is_some_and(|declared| !declared.contains(parameter))
    }

    /// Tells whether a call may change something, as far as the operation and the caller's role say.
    pub fn may_write(&self, granted: Access) -> bool {
        match self.access {
            AccessManifest::Write | AccessManifest::Admin => true,
            AccessManifest::PerCall => granted > Access::Read,
            AccessManifest::Read => false,
        }
    }

    /// Holds a call to the schemas that the driver declares, where it leaves that to the gateway.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub fn check_call(&self, call: &Call) -> Result<(), DriverError> {
        self.schemas.as_ref().map_or(Ok(()), |schemas| schemas.check_call(call))
    }

    /// Tells whether [`check_call`](Self::check_call) has anything to do.
    pub fn checks_calls(&self) -> bool {
        self.schemas.is_some()
    }
}

/// Lists the query parameters that an operation's schema names.
fn declared_parameters(operation: &OperationManifest) -> HashSet<String> {
    let properties = operation.query.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn build(operations: Value, limits: &str) -> Result<Vec<Arc<Operation>>, PluginError> {
        let manifest = json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "options": {},
            "aliases": [{"prefix": "old-thing", "envelope": "bare", "lenient": true}],
            "operations": operations,
        });
        let manifest = serde_json::from_value(manifest).unwrap();
        let limits = toml::from_str(limits).unwrap();
        Operation::build_all(&manifest, &limits, &PluginCache::default(), CheckedBy::Driver)
    }

    #[test]
    fn operations_own_timeout_wins_but_never_exceeds_the_gateways() {
        let one = |path| json!({"method": "GET", "path": path, "access": "read"});
        let limits = "operation_timeout = 10\noperation_timeouts = { '/q' = '20s', '/r' = '1h' }";
        let operations = build(json!([one("/q"), one("/r"), one("/s")]), limits).unwrap();
        let seconds =
            operations.iter().map(|operation| operation.time_within(Duration::from_secs(30)).as_secs());
        assert_eq!(seconds.collect::<Vec<_>>(), [20, 30, 10]);
        let error = build(json!([one("/q")]), limits).unwrap_err().to_string();
        assert!(error.contains("`/r`"), "{error}");
        let unbounded = build(json!([one("/q")]), "").unwrap();
        assert_eq!(unbounded[0].time_within(Duration::from_secs(30)).as_secs(), 30);
    }

    #[test]
    fn operation_under_an_alias_has_its_format_and_manners() {
        let row = |alias: Option<&str>, media_type: Option<&str>| {
            let mut row = json!({"method": "GET", "path": "/q", "access": "per_call", "invalidates": ["/q"],
                "query": {"type": "object", "properties": {"known": {}}}});
            let fields = row.as_object_mut().unwrap();
            fields.extend(alias.map(|alias| ("alias".to_owned(), json!(alias))));
            fields.extend(media_type.map(|text| ("media_type".to_owned(), json!(text))));
            row
        };
        let old = Some("old-thing");
        let operations = build(json!([row(None, None), row(old, None), row(old, Some("text/plain"))]), "");
        let [own, bare, text] = &operations.unwrap()[..] else { panic!("three operations") };
        assert_eq!(own.format, ReplyFormat::Data);
        assert_eq!(bare.format, ReplyFormat::Bare("application/json".parse().unwrap()));
        assert_eq!(text.format, ReplyFormat::Bare("text/plain".parse().unwrap()));
        assert_eq!([own, bare].map(|operation| operation.overlooks("unknown")), [false, true]);
        assert!(!bare.overlooks("known"));
        assert_eq!([Access::Read, Access::Write].map(|granted| own.may_write(granted)), [false, true]);
        assert_eq!((&*own.name, own.number, text.number), ("GET /q", 0, 2));
        assert_eq!((own.caching, &own.invalidates[..]), (None, &["/q".into()][..]));
    }
}
