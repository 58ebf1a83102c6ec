//! The contract between studio-gateway and a database driver.
//!
//! A driver is one type that implements [`Driver`]: a description, one route table of typed handlers, and how to
//! open a session. Everything else (the manifest, JSON Schemas, the calling convention) follows from it.
//!
//! ```
//! use studio_plugin_api::prelude::*;
//!
//! struct Clock;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! #[schemars(crate = "studio_plugin_api::schemars")]
//! struct NoOptions {}
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! #[schemars(crate = "studio_plugin_api::schemars")]
//! struct Add { minutes: u32 }
//!
//! impl Driver for Clock {
//!     type Options = NoOptions;
//!
//!     fn describe() -> Description {
//!         Description::new("clock", "Clock", env!("CARGO_PKG_VERSION")).default_port(37)
//!     }
//!     fn operations() -> Operations<Self> {
//!         Operations::new().get("/later", later).read().summary("Tell a later time")
//!     }
//!     async fn connect(_: ConnectionSettings<NoOptions>, _: Network) -> Result<Self, DriverError> {
//!         Ok(Clock)
//!     }
//!     async fn ping(&self) -> Result<ServerFacts, DriverError> {
//!         Ok(ServerFacts::new("1.0"))
//!     }
//! }
//!
//! async fn later(_: Context<Clock>, add: Query<Add>) -> Result<Json<u32>, DriverError> {
//!     Ok(Json(add.minutes))
//! }
//!
//! let manifest = studio_plugin_api::manifest::derive::<Clock>();
//! assert_eq!(manifest.operations[0].path, "/later");
//! ```
//!
//! A crate of type `cdylib` ends with [`export_driver!`], which makes the entry points that the host looks for. Nothing
//! in this interface is native: it has no tokio type, and `Send` is asked for only where threads exist ([`MaybeSend`]),
//! so that the same driver can be exported as a WebAssembly component.

pub mod alias;
pub mod call;
pub mod connection_string;
pub mod driver;
pub mod encoding;
pub mod error;
pub mod handler;
pub mod manifest;
pub mod network;
pub mod operations;
pub mod parameters;
pub mod reply;
pub mod request;
pub mod settings;
pub mod sync;
pub mod testing;
pub mod time;

mod log_bridge;
mod objects;

#[cfg(not(target_family = "wasm"))]
pub mod abi;
#[cfg(target_family = "wasm")]
pub mod component;

pub use alias::Alias;
pub use call::{Access, Call};
pub use driver::{Description, Driver, MaybeSend, MaybeSync, ServerFacts};
pub use error::{ContractCode, DriverError, ErrorCode, HostCode};
pub use handler::{Body, Context, Path, PathBytes, Query};
pub use network::{Network, Stream};
pub use operations::Operations;
pub use reply::{Created, Either, Json, NoContent, OnlyRead, Outcome, PlainText, RawJson, Reply};
pub use settings::{ConnectionSettings, Endpoint, Secret};

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use serde_json;

/// Every item that a driver's source usually names.
pub mod prelude {
    pub use crate::{
        Access, Alias, Body, ConnectionSettings, Context, Created, Description, Driver, DriverError, Either,
        Endpoint, ErrorCode, Json, Network, NoContent, OnlyRead, Operations, Path, PathBytes, PlainText,
        Query, RawJson, Secret, ServerFacts, Stream,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// The version of this contract, `MAJOR.MINOR.PATCH`, which is not the gateway's: it changes when the contract does. A
/// host loads drivers built against the same `MAJOR.MINOR`.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Exports a type that implements [`Driver`] from a `cdylib`: as a native library, or as a component on a WebAssembly
/// target.
#[macro_export]
macro_rules! export_driver {
    ($driver:ty) => {
        // A panic may end a component: it ends that session alone. In a native driver it would end the gateway.
        #[cfg(all(panic = "abort", not(target_family = "wasm")))]
        compile_error!(
            "a native driver must unwind when it panics, or each panic ends the whole gateway: \
             take `panic = \"abort\"` out of the profile in Cargo.toml (and out of RUSTFLAGS)"
        );

        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            extern "C" fn load() -> $crate::abi::RootModuleResult {
                $crate::abi::load_root_module::<$driver>()
            }

            // SAFETY: no other item has this name, which is the one that abi_stable looks for, and the constructor
            // makes the very module type that the header is checked against.
            #[allow(unsafe_code)]
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static HEADER: $crate::abi::LibHeader = unsafe {
                $crate::abi::LibHeader::from_constructor::<$crate::abi::DriverModuleRef>(
                    load,
                    $crate::abi::CheckTypeLayout::Yes,
                )
            };
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::component::Component<$driver>;
    $crate::component::bindings::export!(Exported with_types_in $crate::component::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::API_VERSION;

    /// Keeps each new gateway from refusing all drivers that were built for the one before.
    #[test]
    fn contract_has_a_version_of_its_own_which_is_the_worlds_too() {
        let package = include_str!("../Cargo.toml");
        assert!(package.lines().any(|line| line == format!("version = \"{API_VERSION}\"")), "{package}");
        let world = include_str!("../wit/0.1.0/driver.wit");
        let (major_minor, _) = API_VERSION.rsplit_once('.').unwrap_or_default();
        assert!(world.contains(&format!("\npackage studio:driver@{major_minor}.")), "{API_VERSION}");
    }
}
