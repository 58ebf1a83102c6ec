//! The native border: the types by which a driver in a dynamic library and its host call each other.
//!
//! Everything here has a layout that `abi_stable` fixes and checks when a library is loaded. Only this module and
//! the host's `dylib.rs` name `abi_stable`, so that it can be replaced in these two places alone. A driver author
//! needs none of it: [`export_driver!`](crate::export_driver) writes the entry points.
//!
//! To stay loadable, additions go at the end: new functions after the last of [`DriverModule`], new methods after
//! the last of [`Session`] and [`Host`]; the plain structs never change within a `0.MINOR`.

// `StableAbi` and `sabi_trait` expand to unsafe impls, to impls that `non_local_definitions` dislikes, and to items
// without docs. No unsafe code is written by hand here, except in what `export_driver!` expands to.
#![allow(non_local_definitions, missing_docs, unsafe_code)]

mod export;
mod log;
mod own_threads;

use crate::{Call, DriverError, ErrorCode};
pub use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings, sabi_trait,
    sabi_types::VersionStrings,
    std_types::{RBox, ROption, RResult, RString, RVec, Tuple2},
};
use async_ffi::FfiFuture;
#[doc(hidden)]
pub use export::{load_root_module, root_module};
use std::time::{Duration, Instant};

/// The functions of a driver library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = DriverModuleRef)))]
#[sabi(missing_field(panic))]
pub struct DriverModule {
    /// The manifest as JSON. Callable before [`start`](Self::start).
    pub manifest: extern "C" fn() -> RResult<RString, AbiError>,
    /// Called once, before any other but `manifest`: gives the driver its way to the host and starts its runtime.
    pub start: extern "C" fn(host: HostObject, log_level: u8) -> RResult<(), AbiError>,
    /// Checks connection settings (JSON of `ConnectionSettings`) without connecting.
    pub check: extern "C" fn(settings: RString) -> RResult<(), AbiError>,
    /// Opens a session.
    #[sabi(last_prefix_field)]
    pub connect: extern "C" fn(settings: RString) -> FfiFuture<RResult<SessionObject, AbiError>>,
}

impl RootModule for DriverModuleRef {
    abi_stable::declare_root_module_statics! {DriverModuleRef}
    const BASE_NAME: &'static str = "studio_driver";
    const NAME: &'static str = "studio_driver";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// One open session, on the driver's side of the border.
#[sabi_trait]
pub trait Session: Send + Sync + 'static {
    /// Runs one operation. Dropping the future cancels it.
    fn call(&self, call: AbiCall) -> FfiFuture<RResult<AbiPayload, AbiError>>;
    /// Asks the server for its facts, as JSON.
    fn ping(&self) -> FfiFuture<RResult<RString, AbiError>>;
    /// Tells whether the session can still be used: see `Driver::is_open`.
    #[sabi(last_prefix_field)]
    fn is_open(&self) -> bool;
}

/// The functions that the host offers a driver.
#[sabi_trait]
pub trait Host: Send + Sync + 'static {
    /// Takes one log record.
    fn log(&self, record: AbiLogRecord);
    /// Finds the socket addresses of a host name that the gateway's rules allow, each as `IP:PORT`. May be polled on
    /// any thread.
    #[sabi(last_prefix_field)]
    fn resolve(&self, host: RString, port: u16) -> FfiFuture<RResult<RVec<RString>, AbiError>>;
}

/// An owned session that can cross.
pub type SessionObject = Session_TO<RBox<()>>;
/// An owned host that can cross.
pub type HostObject = Host_TO<RBox<()>>;
pub use abi_stable::sabi_trait::TD_Opaque;

/// [`Call`] with a fixed layout.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiCall {
    pub operation: u32,
    /// 0 read, 1 write, 2 admin.
    pub granted: u8,
    pub path: RVec<RVec<u8>>,
    pub query: RVec<Tuple2<RString, RString>>,
    pub body: RVec<u8>,
    /// Nanoseconds from now.
    pub deadline_in: u64,
    pub max_reply_bytes: u64,
    pub request_id: RString,
}

/// A reply's payload with a fixed layout.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct AbiPayload {
    /// 0 OK, 1 created, 2 no content. Anything else breaks the contract.
    pub outcome: u8,
    pub json: RVec<u8>,
    pub only_read: bool,
}

/// [`DriverError`] with a fixed layout.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct AbiError {
    pub code: RString,
    pub message: RString,
    /// A JSON object, or empty.
    pub details: RString,
    /// Seconds.
    pub retry_after: ROption<u32>,
}

/// A log record with a fixed layout.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiLogRecord {
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u8,
    pub target: RString,
    pub message: RString,
    /// The event's other fields, `name=value name=value`.
    pub fields: RString,
    /// Empty when the record belongs to no call.
    pub request_id: RString,
}

impl From<Call> for AbiCall {
    fn from(call: Call) -> Self {
        Self {
            operation: call.operation,
            granted: call.granted as u8,
            deadline_in: call.time_left().as_nanos().try_into().unwrap_or(u64::MAX),
            path: call.path.into_iter().map(RVec::from).collect(),
            query: call.query.into_iter().map(|(name, text)| Tuple2(name.into(), text.into())).collect(),
            body: call.body.into(),
            max_reply_bytes: call.max_reply_bytes,
            request_id: (*call.request_id).into(),
        }
    }
}

impl From<AbiCall> for Call {
    fn from(call: AbiCall) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_nanos(call.deadline_in));
        Self {
            operation: call.operation,
            granted: match call.granted {
                0 => crate::Access::Read,
                1 => crate::Access::Write,
                _ => crate::Access::Admin,
            },
            path: call.path.into_iter().map(Vec::from).collect(),
            query: call.query.into_iter().map(|Tuple2(name, text)| (name.into(), text.into())).collect(),
            body: call.body.into(),
            deadline: deadline.unwrap_or(now),
            max_reply_bytes: call.max_reply_bytes,
            request_id: call.request_id.as_str().into(),
        }
    }
}

impl From<DriverError> for AbiError {
    fn from(error: DriverError) -> Self {
        Self {
            code: error.code.as_str().into(),
            message: error.message.into(),
            details: if error.details.is_empty() {
                RString::new()
            } else {
                serde_json::Value::Object(error.details).to_string().into()
            },
            retry_after: error
                .retry_after
                .map(|time| time.as_secs().max(1).try_into().unwrap_or(u32::MAX))
                .into(),
        }
    }
}

impl AbiError {
    /// Reads an error that a driver sent, and checks it.
    ///
    /// # Errors
    /// A `DRIVER_ERROR` in its place, where its code or its details are not of the contract. The error as it was sent
    /// is for the log; the caller must put it there.
    pub fn read(&self) -> Result<DriverError, DriverError> {
        let broken = |message| Err(DriverError::new(ErrorCode::DriverError, message));
        let Some(code) = ErrorCode::from_driver(&self.code) else {
            return broken(
                "the driver answered with an error code that is not its to give; the gateway's log has it",
            );
        };
        let details = match self.details.as_str() {
            "" => serde_json::Map::new(),
            text => match serde_json::from_str(text) {
                Ok(details) => details,
                Err(_) => {
                    return broken(
                        "the driver answered with details that are no JSON object; the gateway's log has them",
                    );
                }
            },
        };
        let retry_after = self.retry_after.into_option().map(|time| Duration::from_secs(time.into()));
        Ok(DriverError { code, message: self.message.clone().into(), details, retry_after })
    }
}

impl From<AbiError> for DriverError {
    fn from(error: AbiError) -> Self {
        error.read().unwrap_or_else(|broken| broken)
    }
}

/// The name of the symbol that abi_stable looks for in a library.
#[cfg(test)]
const HEADER_NAME: &str = "_1as_0lib_1header_0root_bmodule_bloader";

#[cfg(test)]
mod tests {
    #[test]
    fn exported_header_has_the_name_that_abi_stable_looks_for() {
        assert_eq!(super::HEADER_NAME, abi_stable::library::ROOT_MODULE_LOADER_NAME);
    }
}
