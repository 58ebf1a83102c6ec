//! The `studio-gateway` program.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    memory::give_back();
    studio_gateway::cli::run()
}
