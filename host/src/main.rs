//! The `studio-gateway` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    studio_gateway::memory::give_back_large();
    studio_gateway::cli::run()
}
