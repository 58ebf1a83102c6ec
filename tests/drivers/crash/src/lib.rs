//! A library that takes down whoever loads it, as a driver with a broken static constructor does.

// A constructor can only be registered by naming a linker section.
#![allow(unsafe_code)]

// SAFETY: the section holds pointers to functions that the system's loader calls, and this is one.
#[used]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static CONSTRUCTOR: extern "C" fn() = crash;

extern "C" fn crash() {
    std::process::abort();
}
