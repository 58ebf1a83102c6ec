//! Holds calls and settings to a driver's schemas.

use super::{
    Fault, Schema,
    check::{IS_REQUIRED, Misfit},
};
use serde_json::{Map, Value};
use std::borrow::Cow;
use studio_plugin_api::{
    Call, DriverError, ErrorCode,
    encoding::Encoding,
    manifest::{Manifest, OperationManifest},
    parameters::{BYTES_PREFIX, HEADER_PREFIX, body_text, path_names},
};

/// The work that checking a connection's options may take, as if they had so many bytes.
const MOST_OF_OPTIONS: usize = 64 << 10;

/// The schema that the options of a driver's connections are held to.
#[derive(Debug)]
pub(in crate::plugins) struct OptionsSchema(Schema);

impl OptionsSchema {
    /// Compiles the schema that a manifest declares.
    ///
    /// # Errors
    /// The first part that is no schema, with its place in the manifest.
    pub(in crate::plugins) fn compile(manifest: &Manifest) -> Result<Self, String> {
        compile(&manifest.options, "/options").map(Self)
    }

    /// Holds a connection's options, with the plugin's own under them, to the schema.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the option.
    pub(in crate::plugins) fn check(&self, options: &Value) -> Result<(), DriverError> {
        self.0.check(options, MOST_OF_OPTIONS).map_err(refuse_option)
    }

    /// Holds to the schema the options that plugins.toml gives all connections. Missing options are not refused.
    ///
    /// # Errors
    /// The option that does not fit, in words.
    pub(in crate::plugins) fn check_settings(&self, settings: Map<String, Value>) -> Result<(), String> {
        match self.0.check(&Value::Object(settings), MOST_OF_OPTIONS) {
            // Connections give the missing options.
            Err(Misfit::Field { reason, .. }) if reason == IS_REQUIRED => Ok(()),
            checked => checked.map_err(|misfit| refuse_option(misfit).message),
        }
    }
}

/// The schemas that an operation's calls are held to.
#[derive(Debug)]
pub(in crate::plugins) struct OperationSchemas {
    /// The names in the path's template.
    path_names: Vec<String>,
    path: Option<Schema>,
    query: Option<Schema>,
    body: Option<Schema>,
}

impl OperationSchemas {
    /// Compiles the schemas that a manifest declares for the operation of this number.
    ///
    /// # Errors
    /// The first part that is no schema, with its place in the manifest.
    pub(in crate::plugins) fn compile(number: u32, operation: &OperationManifest) -> Result<Self, String> {
        let schema = |schema: &Option<Value>, name: &str| {
            schema.as_ref().map(|schema| compile(schema, &format!("/operations/{number}/{name}"))).transpose()
        };
        Ok(Self {
            path_names: path_names(&operation.path).map(str::to_owned).collect(),
            path: schema(&operation.path_parameters, "path_parameters")?,
            query: schema(&operation.query, "query")?,
            body: schema(&operation.body, "body")?,
        })
    }

    /// Holds a call of the operation to the schemas.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field; `DRIVER_ERROR` for a schema that takes too many steps to check.
    pub(in crate::plugins) fn check_call(&self, call: &Call) -> Result<(), DriverError> {
        if let Some(schema) = &self.path {
            let texts = self.path_names.iter().zip(&call.path);
            let texts = texts.map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes)));
            check_texts(schema, texts, "path")?;
        }
        if let Some(schema) = &self.query {
            let own = call.query.iter().filter(|(name, _)| !name.starts_with(HEADER_PREFIX));
            check_texts(schema, own.map(|(name, text)| read_parameter(name, text)), "query")?;
        }
        match &self.body {
            Some(schema) => check_body(schema, &call.body),
            None => Ok(()),
        }
    }
}

fn compile(schema: &Value, at: &str) -> Result<Schema, String> {
    Schema::compile(schema).map_err(|faults| {
        let Fault { place, reason } =
            faults.into_iter().next().unwrap_or(Fault { place: String::new(), reason: String::new() });
        format!("`{at}{place}` {reason}")
    })
}

/// Reads a query parameter under the name that its caller gave it. One that is no text is shown as those of a path are.
fn read_parameter<'a>(name: &'a str, text: &'a str) -> (&'a str, Cow<'a, str>) {
    match name.strip_prefix(BYTES_PREFIX) {
        Some(name) => {
            // The host itself encoded it.
            let bytes = Encoding::Base64.decode(text, name).unwrap_or_default();
            (name, Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
        }
        None => (name, Cow::Borrowed(text)),
    }
}

fn check_texts<'a>(
    schema: &Schema,
    texts: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
    whole: &str,
) -> Result<(), DriverError> {
    let (mut values, mut bytes) = (Map::new(), 0);
    for (name, text) in texts {
        bytes += name.len() + text.len();
        let value = match schema.member(name) {
            Some(number) => schema.read_text(number, &text),
            None => text.as_ref().into(),
        };
        if values.insert(name.to_owned(), value).is_some() {
            return Err(DriverError::field(name, "is given twice"));
        }
    }
    schema.check(&Value::Object(values), bytes).map_err(|misfit| refuse(misfit, whole, ""))
}

fn check_body(schema: &Schema, body: &[u8]) -> Result<(), DriverError> {
    // The body is read as drivers in Rust read it.
    let text = body_text(body);
    let json = text.unwrap_or(b"null");
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| DriverError::validation("body", format!("the body is not JSON: {error}")))?;
    schema.check(&value, json.len()).map_err(|misfit| match misfit {
        Misfit::Field { field, .. } if text.is_none() && field.is_empty() => {
            DriverError::validation("body", "a JSON body is required")
        }
        misfit => refuse(misfit, "body", ""),
    })
}

fn refuse_option(misfit: Misfit) -> DriverError {
    refuse(misfit, "options", "options.")
}

fn refuse(misfit: Misfit, whole: &str, prefix: &str) -> DriverError {
    match misfit {
        Misfit::Field { field, reason } => {
            let field = if field.is_empty() { whole.to_owned() } else { format!("{prefix}{field}") };
            DriverError::field(&field, reason)
        }
        Misfit::TooMuch => DriverError::new(
            ErrorCode::DriverError,
            format!("the driver's schema takes too many steps to hold the {whole} to it"),
        ),
    }
}
