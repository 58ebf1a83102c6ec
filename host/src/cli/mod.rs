//! The command line.

mod arguments;
mod manage;
mod plugin;
mod serve;

use crate::{config::Settings, logging::start_logging, plugins::Look};
use arguments::{Arguments, Command, PluginCommand};
use clap::Parser;
use std::{error::Error, process::ExitCode};
use tokio::runtime::Runtime;

/// Any failure of a command. Its text, and those of its sources, are shown at the terminal.
type CommandError = Box<dyn Error + Send + Sync>;

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("studio-gateway: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> Result<ExitCode, CommandError> {
    // These commands load an untrusted file in a bare process: no settings are read for them.
    match &arguments.command {
        Command::Plugin(PluginCommand::Trial { file }) => return Ok(plugin::try_out(file, Look::Glance)),
        Command::Plugin(PluginCommand::Examine { file }) => return Ok(plugin::try_out(file, Look::Close)),
        Command::Plugin(PluginCommand::Compile { file }) => return Ok(plugin::compile(file)),
        _ => {}
    }
    // Variables that are not Unicode can't be the gateway's.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = Settings::load(arguments.config.as_deref(), environment)?;
    // Dropped last: nothing is logged after that.
    let _logging = start_logging(&settings.log)?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve => serve::serve(settings).await,
            Command::Check => serve::check(&settings).await,
            Command::Migrate => serve::migrate(&settings).await,
            Command::Rekey => serve::rekey(&settings).await,
            Command::Token(token) => manage::token(&settings, token),
            Command::Project(command) => manage::project(&settings, command).await,
            Command::Connection(command) => manage::connection(&settings, command).await,
            Command::Plugin(command) => plugin::run(&settings, command).await,
        }
    });
    // The shutdown does not wait for a driver that blocks.
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// Makes a runtime with two workers more than there are cores. So native drivers can be polled in place on several
/// workers, some of them preempted in the middle, and one is still free; see `plugins::containment`. Measured on two
/// cores, three and four workers serve a quarter more requests than two.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores + 2).enable_all().build()
}
