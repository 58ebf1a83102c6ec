//! Drivers as WebAssembly components: `target/wasm/components/<type>.wasm`.

use crate::{
    process::{run_logged, show_end},
    toolchain::{TARGET, Toolchain},
    workspace::{Driver, Kind, Workspace},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use wit_component::ComponentEncoder;

/// Guests are small and quick, whatever the release profile is like for the host.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"symbols\"",
];

/// Crates that want randomness get it from the host (`plugin-api/src/component/mod.rs`).
const FLAGS: &str = "--cfg getrandom_backend=\"custom\"";

/// How long one driver may take to build, its dependencies and the standard library included.
const BUILD_TIME: Duration = Duration::from_mins(30);

/// Returns the path of a driver's component, once built.
pub fn file(workspace: &Workspace, driver: &Driver) -> PathBuf {
    workspace.target.join("wasm/components").join(format!("{}.wasm", driver.database_type))
}

/// Builds those among the drivers that are components.
pub fn build<'a>(workspace: &Workspace, drivers: impl Iterator<Item = &'a Driver>) -> Result<()> {
    let drivers: Vec<&Driver> = drivers.filter(|driver| driver.is(Kind::Wasm)).collect();
    if drivers.is_empty() {
        return Ok(());
    }
    let toolchain = Toolchain::ensure(workspace)?;
    workspace.target_folder("wasm/components")?;
    for driver in drivers {
        let module = build_module(workspace, &toolchain, driver)?;
        encode(&module, &file(workspace, driver))
            .with_context(|| format!("{} can't be made a component", module.display()))?;
    }
    Ok(())
}

/// Builds a core module that carries a description of its world. Each driver is built by itself, as a `cdylib` and
/// nothing else: cargo optimizes no crate as a whole that is an `rlib` too.
fn build_module(workspace: &Workspace, toolchain: &Toolchain, driver: &Driver) -> Result<PathBuf> {
    eprintln!("building the component {}", driver.database_type);
    let target = workspace.target.join("wasm");
    let log = workspace.target_folder("xtask")?.join(format!("component-{}.log", driver.database_type));
    let mut command = toolchain.cargo("rustc")?;
    command.current_dir(&workspace.root).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", FLAGS);
    command.args(["--locked", "--package", &driver.package, "--lib", "--crate-type", "cdylib"]);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    run_logged(&mut command, &log, BUILD_TIME).inspect_err(|_| show_end(&log))?;
    Ok(target.join(TARGET).join("release").join(format!("{}.wasm", driver.library())))
}

fn encode(module: &Path, component: &Path) -> Result<()> {
    let module = fs::read(module)?;
    let bytes = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    Ok(fs::write(component, bytes)?)
}
