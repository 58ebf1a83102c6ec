//! Calls of a driver's operations in its own tests, without a host: the request is routed, its parameters are read and
//! its handler runs just as the host would do it.

mod session;

pub use session::{Session, code, field, reason};

use crate::{
    Access, Call, ConnectionSettings, Driver, DriverError, ErrorCode, Outcome,
    operations::{Method, Operation},
    parameters,
    reply::{MISPLACED_PAYLOAD, Payload},
    time::Instant,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
#[cfg(not(target_family = "wasm"))]
use {
    crate::network::{Network, Stream, Transport},
    std::{
        io,
        net::{Shutdown, TcpStream},
    },
};

/// One request to a driver.
#[derive(Debug, Clone)]
pub struct TestRequest {
    alias: Option<String>,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    granted: Access,
    max_reply_bytes: u64,
}

impl TestRequest {
    /// Makes a request to a path below the project, percent-encoded as in a URL: `/keys/a%2Fb`. It may do everything,
    /// and its reply may have 10 MiB.
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            alias: None,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            body: Vec::new(),
            granted: Access::Admin,
            max_reply_bytes: 10 << 20,
        }
    }

    /// Makes a `GET`.
    pub fn get(path: &str) -> Self {
        Self::new(Method::Get, path)
    }

    /// Makes a `POST` with a JSON body.
    pub fn post(path: &str, body: Value) -> Self {
        Self::new(Method::Post, path).body(body.to_string())
    }

    /// Makes a `PUT` with a JSON body.
    pub fn put(path: &str, body: Value) -> Self {
        Self::new(Method::Put, path).body(body.to_string())
    }

    /// Makes a `DELETE`.
    pub fn delete(path: &str) -> Self {
        Self::new(Method::Delete, path)
    }

    /// Sends it to an operation under an alias. A payload that is not JSON comes as a string.
    pub fn under(mut self, alias: &str) -> Self {
        self.alias = Some(alias.to_owned());
        self
    }

    /// Adds a query parameter, decoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header that the alias hands on, by its name in lower case.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.query(&format!("{}{name}", parameters::HEADER_PREFIX), value)
    }

    /// Sets the body as it is sent.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the most that the caller may do.
    pub fn granted(mut self, granted: Access) -> Self {
        self.granted = granted;
        self
    }

    /// Sets the largest reply that would be passed on.
    pub fn max_reply_bytes(mut self, bytes: u64) -> Self {
        self.max_reply_bytes = bytes;
        self
    }

    /// Sends the request. The payload of a reply without a body is null.
    ///
    /// # Errors
    /// As for [`send_for_reply`](Self::send_for_reply).
    pub async fn send<D: Driver>(self, session: &Arc<D>) -> Result<(Outcome, Value), DriverError> {
        self.send_for_reply(session).await.map(|TestReply { outcome, payload, .. }| (outcome, payload))
    }

    /// Sends the request, and gives the whole reply as the host gets it.
    ///
    /// # Errors
    /// The driver's own; `NOT_FOUND` where no operation has the path and method; `FORBIDDEN` where the operation needs
    /// more than was granted; `DRIVER_ERROR` for a reply that the host would not pass on.
    pub async fn send_for_reply<D: Driver>(self, session: &Arc<D>) -> Result<TestReply, DriverError> {
        let mut found: Option<(usize, Operation<D>, Vec<Vec<u8>>)> = None;
        for (index, operation) in D::operations().into_rows().into_iter().enumerate() {
            if operation.method != self.method || operation.alias != self.alias.as_deref() {
                continue;
            }
            if let Some(values) = match_path(operation.path, &self.path)
                // A literal segment beats a parameter, as in the host's router.
                && found.as_ref().is_none_or(|(_, _, others)| values.len() < others.len())
            {
                found = Some((index, operation, values));
            }
        }
        let (index, operation, path) =
            found.ok_or_else(|| DriverError::not_found("no operation has this method and path"))?;
        let needed = match operation.access {
            crate::operations::OperationAccess::Needs(needed) => needed,
            crate::operations::OperationAccess::PerCall => Access::Read,
        };
        if self.granted < needed {
            return Err(DriverError::forbidden("the operation needs more than was granted"));
        }
        let call = Call {
            operation: u32::try_from(index).unwrap_or(u32::MAX),
            granted: self.granted,
            path,
            query: self.query,
            body: self.body,
            deadline: Instant::now() + Duration::from_secs(30),
            max_reply_bytes: self.max_reply_bytes,
            request_id: "test".into(),
        };
        let payload = run(&operation, session.clone(), call).await?;
        let media_type = (operation.schemas)().media_type;
        if !payload.fits(media_type.is_none()) {
            return Err(DriverError::new(ErrorCode::DriverError, MISPLACED_PAYLOAD));
        }
        let Payload { outcome, json, only_read } = payload;
        let payload = match media_type {
            Some(_) => Ok(String::from_utf8_lossy(&json).into()),
            None if json.is_empty() => Ok(Value::Null),
            None => serde_json::from_slice(&json),
        };
        match payload {
            Ok(payload) => Ok(TestReply { outcome, payload, only_read }),
            Err(error) => {
                Err(DriverError::new(ErrorCode::DriverError, format!("the payload is not JSON: {error}")))
            }
        }
    }
}

/// A reply, as the host sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TestReply {
    /// The success status.
    pub outcome: Outcome,
    /// The payload: a string where it is not JSON, null where there is none.
    pub payload: Value,
    /// Whether the driver says that the call left the database as it was ([`OnlyRead`](crate::OnlyRead)).
    pub only_read: bool,
}

/// Runs one row of a route table with a call as the border hands it over; for benchmarks.
///
/// # Errors
/// The driver's own.
pub async fn run<D>(operation: &Operation<D>, session: Arc<D>, call: Call) -> Result<Payload, DriverError> {
    (operation.handler)(session, call).await
}

/// Reads connection settings from JSON, `{"endpoint": {"parts": {…}}, "options": {…}}`, with errors as the host would
/// see them.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field.
pub fn settings<D: Driver>(json: Value) -> Result<ConnectionSettings<D::Options>, DriverError> {
    let part = |name: &str| json.get(name).cloned().unwrap_or_default();
    Ok(ConnectionSettings {
        endpoint: parameters::from_json(part("endpoint"), "endpoint")?,
        options: parameters::options_from_json(part("options"))?,
    })
}

/// Passwords with characters that mean something in a URL, as a pattern for proptest. Their letters make no words, so
/// that a message has none of them by chance.
pub const ODD_PASSWORDS: &str = "[QXZJVKWY]{4}([@/?#%:&=+\n\t\\[]|%4){1,2}[QXZJVKWY]{4,8}";

/// Checks that a password is read from a connection string as it is, or that the string is refused and no part of it
/// told. `read` gets the password as it is written in the string, percent-encoded or not, and gives the password that
/// it read.
///
/// # Panics
/// When another password is read, an encoded one is refused, or the error tells four bytes of it in a row or names
/// another field than `connection_string`.
pub fn check_password(password: &str, encoded: bool, read: impl FnOnce(&str) -> Result<String, DriverError>) {
    let written = if encoded {
        password.bytes().map(|byte| format!("%{byte:02X}")).collect()
    } else {
        password.to_owned()
    };
    let told = |text: &str| {
        password.as_bytes().windows(4).any(|part| {
            part.iter().any(u8::is_ascii_uppercase) && text.as_bytes().windows(4).any(|found| found == part)
        })
    };
    match read(&written) {
        Ok(read) => assert_eq!(read, password),
        Err(error) => {
            assert!(!encoded, "{error}");
            assert_eq!(error.details.get("field"), Some(&Value::from("connection_string")));
            assert!(!told(&error.message), "a part of the password is told: {error}");
        }
    }
}

/// Makes a component's network, for its tests on this machine: plain TCP to the server at `port` of this host, whatever
/// the settings say. Reading and writing block the thread.
#[cfg(not(target_family = "wasm"))]
pub fn network(port: u16) -> Network {
    let open = move |tls: bool| {
        let closed = |error: std::io::Error| DriverError::connection("closed", error.to_string());
        if tls {
            return Err(DriverError::connection("tls", "the tests' network does not speak TLS"));
        }
        let stream = TcpStream::connect(("127.0.0.1", port))
            .map_err(|error| DriverError::connection("refused", error.to_string()))?;
        stream.set_nodelay(true).map_err(closed)?;
        Ok(Stream::new(stream))
    };
    Network::of_streams(open)
}

#[cfg(not(target_family = "wasm"))]
impl Transport for TcpStream {
    fn read(&mut self, most: u32, timeout: Option<Duration>) -> Result<Vec<u8>, DriverError> {
        let mut bytes = vec![0; most as usize];
        let read = self.set_read_timeout(timeout).and_then(|()| io::Read::read(self, &mut bytes));
        let length = read.map_err(|error| broken(&error))?;
        bytes.truncate(length);
        Ok(bytes)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        io::Write::write_all(self, bytes).map_err(|error| broken(&error))
    }
    fn shutdown(&mut self) -> Result<(), DriverError> {
        TcpStream::shutdown(self, Shutdown::Write).map_err(|error| broken(&error))
    }
}

#[cfg(not(target_family = "wasm"))]
fn broken(error: &io::Error) -> DriverError {
    let reason = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timeout",
        _ => "closed",
    };
    DriverError::connection(reason, format!("the stream failed: {error}"))
}

/// Finds the parameters' values if the path fits the template.
fn match_path(template: &str, path: &str) -> Option<Vec<Vec<u8>>> {
    let mut segments = path.split('/');
    let mut values = Vec::new();
    for wanted in template.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') {
            values.push(percent_decode_str(segment).collect());
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, OnlyRead, Operations, Reply, ServerFacts, prelude::*};
    use serde_json::json;

    #[derive(Debug)]
    struct Thing;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Options {
        #[allow(dead_code)]
        depth: Option<u8>,
    }

    impl Driver for Thing {
        type Options = Options;
        fn describe() -> crate::Description {
            crate::Description::new("thing", "Thing", "1")
        }
        fn operations() -> Operations<Self> {
            Operations::new().post("/look", look).per_call().get("/nothing", nothing).read()
        }
        async fn connect(_: ConnectionSettings<Options>, _: Network) -> Result<Self, DriverError> {
            Ok(Self)
        }
        async fn ping(&self) -> Result<ServerFacts, DriverError> {
            Ok(ServerFacts::new("1"))
        }
    }

    async fn look(_: Context<Thing>) -> Result<OnlyRead<Json<u8>>, DriverError> {
        Ok(OnlyRead(Json(1)))
    }

    struct Nothing;

    impl Reply for Nothing {
        fn schema(_: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
            None
        }
        fn into_payload(self) -> Result<Payload, DriverError> {
            Ok(Payload { outcome: Outcome::Ok, json: Vec::new(), only_read: false })
        }
    }

    async fn nothing(_: Context<Thing>) -> Result<Nothing, DriverError> {
        Ok(Nothing)
    }

    fn run<T>(future: impl std::future::Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn settings_are_refused_by_their_names_in_the_connection() {
        let parts = json!({"parts": {"host": "h", "port": 1}});
        for (options, field) in [
            (json!({"depth": 300}), "options.depth"),
            (json!({"dept": 3}), "options.dept"),
            (json!(7), "options"),
        ] {
            let error = settings::<Thing>(json!({"endpoint": parts, "options": options})).unwrap_err();
            assert_eq!(error.details["field"], field);
        }
        settings::<Thing>(json!({"endpoint": parts, "options": {"depth": 3}})).unwrap();
    }

    #[test]
    #[should_panic(expected = "a part of the password is told")]
    fn error_that_tells_a_part_of_a_password_does_not_pass() {
        check_password("QXZJ@VKWY", false, |_| {
            Err(DriverError::validation("connection_string", "no: @VKWY"))
        });
    }

    #[test]
    fn replies_are_told_whole_and_held_to_the_contract() {
        let session = Arc::new(Thing);
        let reply = run(TestRequest::post("/look", json!(null)).body("").send_for_reply(&session)).unwrap();
        assert_eq!(reply, TestReply { outcome: Outcome::Ok, payload: json!(1), only_read: true });
        let error = run(TestRequest::get("/nothing").send(&session)).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::DriverError, MISPLACED_PAYLOAD));
    }
}
