//! Typed handlers: async functions whose parameters say what they take from a call.
//!
//! A handler takes a [`Context`] first, then up to three of [`Path`], [`Query`] and [`Body`], and returns
//! `Result<impl Reply, DriverError>`.

use crate::{
    Access, Call, DriverError, MaybeSend, MaybeSync, Reply, parameters, settings::BoxFuture, time::Instant,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, Visitor},
};
use std::{borrow::Cow, future::Future, ops::Deref, sync::Arc, time::Duration};

use crate::reply::Payload;

/// The open session, and the facts of this call that are neither path, query nor body.
pub struct Context<D> {
    session: Arc<D>,
    granted: Access,
    deadline: Instant,
    max_reply_bytes: u64,
    request_id: Arc<str>,
    headers: Vec<(String, String)>,
}

impl<D> Context<D> {
    /// Returns the most that this caller may do.
    pub fn granted(&self) -> Access {
        self.granted
    }
    /// Tells whether the caller may only read. An operation declared
    /// [`per_call`](crate::operations::Undeclared::per_call) must enforce it.
    pub fn read_only(&self) -> bool {
        self.granted == Access::Read
    }
    /// Returns the moment when the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
    /// Returns the time left until the deadline; zero when it has passed.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
    /// Returns the largest payload in bytes that the host passes on.
    pub fn max_reply_bytes(&self) -> u64 {
        self.max_reply_bytes
    }
    /// Returns the `x-request-id` of the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
    /// Returns a header of the request, if the alias [hands it on](crate::Alias::header) and the request has it. `name`
    /// is in lower case. Bytes in it that are not UTF-8 are replaced (U+FFFD).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<D> Deref for Context<D> {
    type Target = D;
    fn deref(&self) -> &D {
        &self.session
    }
}

/// The JSON Schemas of an operation, each absent where there is nothing to tell, and the payload's type when it is not
/// JSON.
#[derive(Debug, Clone, Default)]
pub struct OperationSchemas {
    pub(crate) path: Option<Schema>,
    pub(crate) query: Option<Schema>,
    pub(crate) body: Option<Schema>,
    pub(crate) reply: Option<Schema>,
    pub(crate) media_type: Option<&'static str>,
}

pub(crate) fn schema_generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

fn root_schema<T: JsonSchema>() -> Schema {
    schema_generator().into_root_schema_for::<T>()
}

/// A part of a call that a handler can take.
pub trait FromCall: Sized {
    /// Adds this part's schema to the operation's.
    fn describe(schemas: &mut OperationSchemas);

    /// Takes this part out of the call. `path_names` are the template's parameters, in order.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn from_call(call: &mut Call, path_names: &[&'static str]) -> Result<Self, DriverError>;
}

macro_rules! wrapper {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Debug)]
        pub struct $name<T>(pub T);

        impl<T> Deref for $name<T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.0
            }
        }
    };
}

wrapper!(
    /// The path's parameters, as a struct whose fields have the names in the template.
    Path
);
wrapper!(
    /// The query parameters, as a struct. Numbers and booleans are read from their text; a list is comma-separated.
    Query
);
wrapper!(
    /// The JSON body. `Body<Option<T>>` lets it be absent.
    Body
);

impl<T: DeserializeOwned + JsonSchema> FromCall for Path<T> {
    fn describe(schemas: &mut OperationSchemas) {
        schemas.path = Some(root_schema::<T>());
    }
    fn from_call(call: &mut Call, path_names: &[&'static str]) -> Result<Self, DriverError> {
        parameters::from_path(path_names, &call.path).map(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema> FromCall for Query<T> {
    fn describe(schemas: &mut OperationSchemas) {
        schemas.query = Some(root_schema::<T>());
    }
    fn from_call(call: &mut Call, _: &[&'static str]) -> Result<Self, DriverError> {
        // Taken out, so that parameters that no handler asked for are left over, to be refused.
        parameters::from_query(&std::mem::take(&mut call.query)).map(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema> FromCall for Body<T> {
    fn describe(schemas: &mut OperationSchemas) {
        schemas.body = Some(root_schema::<T>());
    }
    fn from_call(call: &mut Call, _: &[&'static str]) -> Result<Self, DriverError> {
        // Taken out, so that its text is not held beside the value that was read from it.
        parameters::from_body(&std::mem::take(&mut call.body)).map(Self)
    }
}

/// A path or query parameter as bytes: the byte that `%FF` stands for is kept, where a `String` field would refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathBytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for PathBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = PathBytes;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<PathBytes, E> {
                Ok(PathBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl JsonSchema for PathBytes {
    fn schema_name() -> Cow<'static, str> {
        "PathBytes".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "description": "percent-encoded bytes" })
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) type ErasedHandler<D> =
    Box<dyn Fn(Arc<D>, Call) -> BoxFuture<'static, Result<Payload, DriverError>> + Send + Sync>;
#[cfg(target_family = "wasm")]
pub(crate) type ErasedHandler<D> =
    Box<dyn Fn(Arc<D>, Call) -> BoxFuture<'static, Result<Payload, DriverError>>>;

/// An async function that can serve an operation. Implemented for every function of the right form.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is `async fn(Context<D>, Path<_>, Query<_>, Body<_>) -> Result<impl Reply, DriverError>`; \
            the last three are optional"
)]
pub trait Handler<D, A>: MaybeSend + MaybeSync + 'static {
    /// Describes its parameters and its reply by schemas.
    fn schemas() -> OperationSchemas;

    /// Takes its parameters from the call and runs.
    fn handle(
        &self,
        session: Arc<D>,
        call: Call,
        path_names: &[&'static str],
    ) -> BoxFuture<'static, Result<Payload, DriverError>>;
}

/// Turns a typed handler into one that takes plain calls.
pub(crate) fn erase<D: 'static, A>(handler: impl Handler<D, A>, path: &'static str) -> ErasedHandler<D> {
    let path_names: Vec<&'static str> = parameters::path_names(path).collect();
    Box::new(move |session, call| handler.handle(session, call, &path_names))
}

macro_rules! implement_handler {
    ($($part:ident),*) => {
        impl<D, F, Run, R, $($part),*> Handler<D, ($($part,)*)> for F
        where
            D: MaybeSend + MaybeSync + 'static,
            F: Fn(Context<D>, $($part),*) -> Run + MaybeSend + MaybeSync + 'static,
            Run: Future<Output = Result<R, DriverError>> + MaybeSend + 'static,
            R: Reply,
            $($part: FromCall,)*
        {
            fn schemas() -> OperationSchemas {
                let mut schemas = OperationSchemas::default();
                $($part::describe(&mut schemas);)*
                schemas.reply = R::schema(&mut schema_generator());
                schemas.media_type = R::media_type();
                schemas
            }

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn handle(
                &self,
                session: Arc<D>,
                mut call: Call,
                path_names: &[&'static str],
            ) -> BoxFuture<'static, Result<Payload, DriverError>> {
                let headers = parameters::take_headers(&mut call.query);
                $(let $part = match $part::from_call(&mut call, path_names) {
                    Ok(part) => part,
                    Err(error) => return Box::pin(std::future::ready(Err(error))),
                };)*
                if let Err(error) = parameters::refuse_surplus(&call.query) {
                    return Box::pin(std::future::ready(Err(error)));
                }
                let context = Context {
                    headers,
                    session,
                    granted: call.granted,
                    deadline: call.deadline,
                    max_reply_bytes: call.max_reply_bytes,
                    request_id: call.request_id,
                };
                let most = call.max_reply_bytes;
                let running = self(context, $($part),*);
                Box::pin(async move { bounded(running.await?.into_payload()?, most) })
            }
        }
    };
}

/// Drops a payload that is too large to be sent where it was made, before others are made beside it.
fn bounded(payload: Payload, most: u64) -> Result<Payload, DriverError> {
    match payload.json.len() as u64 > most {
        true => Err(DriverError::result_too_large(most)),
        false => Ok(payload),
    }
}

implement_handler!();
implement_handler!(A);
implement_handler!(A, B);
implement_handler!(A, B, C);
