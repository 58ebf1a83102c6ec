//! The `studio-gateway` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    studio_gateway::cli::run()
}
