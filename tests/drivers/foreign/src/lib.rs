//! A driver library as a later version of the contract might make it: found under the same name, but of version
//! 0.9.0, and with a module of another layout.

// `StableAbi` expands to unsafe impls, and to items without docs.
#![allow(unsafe_code, missing_docs, non_local_definitions)]

use abi_stable::{
    StableAbi,
    library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModule, RootModuleResult},
    prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
};

/// A module that has nothing of today's.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ForeignModuleRef)))]
#[sabi(missing_field(panic))]
pub struct ForeignModule {
    /// Answers 42.
    #[sabi(last_prefix_field)]
    pub answer: extern "C" fn() -> u32,
}

impl RootModule for ForeignModuleRef {
    abi_stable::declare_root_module_statics! {ForeignModuleRef}
    const BASE_NAME: &'static str = "studio_driver";
    const NAME: &'static str = "studio_driver";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("0.9.0");
}

extern "C" fn answer() -> u32 {
    42
}

fn root_module() -> ForeignModuleRef {
    ForeignModule { answer }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(root_module)
}

// SAFETY: no other item has this name, which is the one that abi_stable looks for, and the constructor makes the very
// module type that the header is checked against.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static HEADER: LibHeader =
    unsafe { LibHeader::from_constructor::<ForeignModuleRef>(load, CheckTypeLayout::Yes) };
