//! What no driver can say that is written with the contract's types, and a library may say all the same: the driver is
//! exported by hand, with sessions that answer such things where they are asked to.

// The header that a library is found by is what `export_driver!` would write.
#![allow(unsafe_code)]

use crate::Probe;
use abi_stable::{
    library::__call_root_module_loader,
    prefix_type::PrefixTypeTrait,
    std_types::{
        ROption::RNone,
        RResult::{self, RErr, ROk},
        RString, RVec,
    },
};
use async_ffi::{FfiFuture, FutureExt};
use std::{future::ready, sync::OnceLock};
use studio_plugin_api::{
    abi::{
        AbiCall, AbiError, AbiPayload, CheckTypeLayout, DriverModule, DriverModuleRef, LibHeader,
        RootModuleResult, Session, Session_TO, SessionObject, TD_Opaque, root_module,
    },
    manifest,
};

struct Garbling(SessionObject);

impl Session for Garbling {
    fn call(&self, call: AbiCall) -> FfiFuture<RResult<AbiPayload, AbiError>> {
        let fail = |code: &str, message: &str, details: &str| {
            let (code, message, details) = (code.into(), message.into(), details.into());
            ready(RErr(AbiError { code, message, details, retry_after: RNone })).into_ffi()
        };
        match path_of(call.operation) {
            "/garbage/code" => fail("UNAUTHENTICATED", "the probe pretends\nto be the host", ""),
            "/garbage/nothing" => fail("", "", ""),
            "/garbage/details" => fail("QUERY_ERROR", "the probe stammers", "[1] d-d-details"),
            "/garbage/outcome" => {
                ready(ROk(AbiPayload { outcome: 77, json: RVec::new(), only_read: false })).into_ffi()
            }
            _ => self.0.call(call),
        }
    }

    fn ping(&self) -> FfiFuture<RResult<RString, AbiError>> {
        self.0.ping()
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }
}

fn path_of(operation: u32) -> &'static str {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    let paths = PATHS.get_or_init(|| {
        let operations = manifest::derive::<Probe>().operations;
        operations.into_iter().map(|operation| operation.path).collect()
    });
    paths.get(operation as usize).map_or("", String::as_str)
}

extern "C" fn connect(settings: RString) -> FfiFuture<RResult<SessionObject, AbiError>> {
    let opening = root_module::<Probe>().connect()(settings);
    async move { opening.await.map(|session| Session_TO::from_value(Garbling(session), TD_Opaque)) }
        .into_ffi()
}

fn garbling_module() -> DriverModuleRef {
    let whole = root_module::<Probe>();
    let (manifest, start, check) = (whole.manifest(), whole.start(), whole.check());
    DriverModule { manifest, start, check, connect }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(garbling_module)
}

/// What the library is found by.
// SAFETY: no other item has this name, which is the one that abi_stable looks for, and the constructor makes the very
// module type that the header is checked against.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static HEADER: LibHeader =
    unsafe { LibHeader::from_constructor::<DriverModuleRef>(load, CheckTypeLayout::Yes) };
