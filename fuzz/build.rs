//! Lets all drivers stand in one program, although each exports an entry point of the same name.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--allow-multiple-definition");
}
