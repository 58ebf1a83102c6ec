//! Native drivers: the host's side of the border in `studio_plugin_api::abi`.
//!
//! A library is loaded from a private copy of the very bytes that were hashed, never unloaded, and reloading loads
//! the new bytes beside the old. The layouts of everything that crosses are checked by `abi_stable` at load. A crash
//! in a native driver is a crash of the gateway, which is why a native driver must be trusted.

use super::{
    DriverInstance, DriverSession, Payload, Resolve,
    driver_log::LogRecord,
    error::{PluginError, beginning, one_line},
    manifest::check_version,
    settings::DriverSettings,
};
use abi_stable::{
    library::{LibraryError, lib_header_from_path},
    std_types::{RResult, RString, RVec},
};
use async_ffi::{FfiFuture, FutureExt as _};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::ExposeSecret;
use std::{path::Path, sync::Arc};
use studio_plugin_api::{
    Call, DriverError, ErrorCode, Outcome,
    abi::{AbiError, AbiLogRecord, AbiPayload, DriverModuleRef, Host, Host_TO, SessionObject, TD_Opaque},
    manifest::Manifest,
};
use tokio::runtime::Handle;
use tracing::{Level, level_filters::LevelFilter};

/// A driver in a native library.
pub(super) struct DylibDriver {
    module: DriverModuleRef,
    manifest: Manifest,
}

impl DylibDriver {
    /// Loads the library at `file` and reads its manifest, whose text it returns too. Nothing of the driver runs but
    /// its constructors, and the functions that give its root module and its manifest.
    pub(super) fn load(file: &Path) -> Result<(Self, String), PluginError> {
        let header = lib_header_from_path(file).map_err(|error| match error {
            LibraryError::OpenError { err, .. } => {
                PluginError::NotLoadable(one_line(&err.to_string(), LONGEST_REASON))
            }
            _ => PluginError::NotADriver,
        })?;
        check_version(&header.version_strings().version)?;
        let module = header
            .check_layout::<DriverModuleRef>()
            .map_err(|error| PluginError::Incompatible(one_line(&error.to_string(), LONGEST_REASON)))?;
        let text =
            module.manifest()().into_result().map_err(|error| PluginError::Manifest(error.message.into()))?;
        let manifest = serde_json::from_str(&text)
            .map_err(|error| PluginError::Manifest(format!("it does not read: {error}")))?;
        Ok((Self { module, manifest }, text.into()))
    }

    fn context(&self, request_id: &str) -> AnswerContext {
        AnswerContext { driver: self.manifest.database_type.as_str().into(), request_id: request_id.into() }
    }

    /// Starts the driver's runtime and gives it access to the host.
    pub(super) fn start(&self, resolve: Arc<Resolve>) -> Result<(), PluginError> {
        let host = HostSide {
            database_type: self.manifest.database_type.clone(),
            resolve,
            runtime: Handle::current(),
        };
        let level = LevelFilter::current().into_level().map_or(0, |level| match level {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        });
        self.module.start()(Host_TO::from_value(host, TD_Opaque), level)
            .into_result()
            .map_err(|error| PluginError::NotStarted(error.message.into()))
    }
}

/// The most characters of the loader's own message that are passed on.
const LONGEST_REASON: usize = 300;
/// The most bytes of each text that broke the contract, in the log.
const LONGEST_QUOTE: usize = 2000;

impl DriverInstance for DylibDriver {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn check(&self, settings: DriverSettings) -> BoxFuture<'static, Result<(), DriverError>> {
        let (check, context, settings) = (self.module.check(), self.context(""), settings.to_json());
        let checking = move || {
            check(settings.expose_secret().into()).into_result().map_err(|error| context.read_error(&error))
        };
        // The driver's function is not a future, so it runs on a thread where it may take its time.
        async move {
            let checked = tokio::task::spawn_blocking(checking).await;
            checked.unwrap_or_else(|_| Err(broken("the driver could not check the settings")))
        }
        .boxed()
    }

    fn connect(
        &self,
        settings: DriverSettings,
    ) -> BoxFuture<'static, Result<Box<dyn DriverSession>, DriverError>> {
        let opening = self.module.connect()(settings.to_json().expose_secret().into());
        let context = self.context("");
        async move {
            let session = opening.await.into_result().map_err(|error| context.read_error(&error))?;
            Ok(Box::new(DylibSession { session, driver: context.driver }) as Box<dyn DriverSession>)
        }
        .boxed()
    }
}

/// The driver that gave an answer, and the request that the answer is for, as the log names them.
struct AnswerContext {
    driver: Arc<str>,
    request_id: Arc<str>,
}

impl AnswerContext {
    /// Reads the driver's error. One that breaks the contract goes to the log, since the caller is not told its text.
    fn read_error(&self, error: &AbiError) -> DriverError {
        error.read().unwrap_or_else(|broken| {
            let (code, message) = (clip(&error.code), clip(&error.message));
            let details = clip(&error.details);
            self.report(&broken, &format!("code={code:?} message={message:?} details={details:?}"));
            broken
        })
    }

    fn read_payload(&self, payload: AbiPayload) -> Result<Payload, DriverError> {
        let outcome = match payload.outcome {
            0 => Outcome::Ok,
            1 => Outcome::Created,
            2 => Outcome::NoContent,
            outcome => {
                let broken = broken("the driver answered with an outcome that is not in the contract");
                self.report(&broken, &format!("outcome={outcome}"));
                return Err(broken);
            }
        };
        Ok(Payload { outcome, json: read_bytes(payload.json), only_read: payload.only_read })
    }

    fn report(&self, broken: &DriverError, fields: &str) {
        let Self { driver, request_id } = self;
        LogRecord { driver, request_id, target: "contract", message: &broken.message, fields }
            .write(Level::ERROR);
    }
}

/// Payloads up to so many bytes are copied: that costs less than to give them an owner.
const SMALL: usize = 4 << 10;

/// Takes bytes over from a driver, whose own allocator frees them in the end.
fn read_bytes(mut bytes: RVec<u8>) -> Bytes {
    if bytes.len() <= SMALL {
        return Bytes::copy_from_slice(&bytes);
    }
    // Spare room would be held until a client has taken the reply, and is counted nowhere.
    bytes.shrink_to_fit();
    Bytes::from_owner(bytes)
}

/// Cuts a driver's text to its beginning, on one line.
fn clip(text: &RString) -> String {
    one_line(beginning(text, LONGEST_QUOTE), LONGEST_QUOTE)
}

struct DylibSession {
    session: SessionObject,
    driver: Arc<str>,
}

impl DriverSession for DylibSession {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Payload, DriverError>> {
        let context = AnswerContext { driver: self.driver.clone(), request_id: call.request_id.clone() };
        let running = self.session.call(call.into());
        async move {
            match running.await.into_result() {
                Ok(payload) => context.read_payload(payload),
                Err(error) => Err(context.read_error(&error)),
            }
        }
        .boxed()
    }

    fn ping(&self) -> BoxFuture<'static, Result<serde_json::Map<String, serde_json::Value>, DriverError>> {
        let context = AnswerContext { driver: self.driver.clone(), request_id: "".into() };
        let asking = self.session.ping();
        async move {
            let text = asking.await.into_result().map_err(|error| context.read_error(&error))?;
            serde_json::from_str(&text).map_err(|_| broken("the driver's facts are not a JSON object"))
        }
        .boxed()
    }

    fn is_open(&self) -> bool {
        self.session.is_open()
    }
}

fn broken(message: &str) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}

/// The host's functions that a driver may call.
struct HostSide {
    database_type: String,
    resolve: Arc<Resolve>,
    runtime: Handle,
}

impl Host for HostSide {
    fn log(&self, record: AbiLogRecord) {
        let level = match record.level {
            1 => Level::ERROR,
            2 => Level::WARN,
            3 => Level::INFO,
            4 => Level::DEBUG,
            _ => Level::TRACE,
        };
        let AbiLogRecord { target, message, fields, request_id, .. } = &record;
        LogRecord { driver: &self.database_type, request_id, target, message, fields }.write(level);
    }

    fn resolve(&self, host: RString, port: u16) -> FfiFuture<RResult<RVec<RString>, AbiError>> {
        // The driver may poll this on its own thread, where the gateway's runtime is not entered, so the work is done
        // in a task of the gateway's.
        let task = self.runtime.spawn((self.resolve)(host.into(), port));
        async move {
            match task.await {
                Ok(Ok(addresses)) => {
                    RResult::ROk(addresses.iter().map(|address| address.to_string().into()).collect())
                }
                Ok(Err(error)) => RResult::RErr(error.into()),
                Err(_) => {
                    RResult::RErr(broken("the name could not be resolved: the gateway is stopping").into())
                }
            }
        }
        .into_ffi()
    }
}
