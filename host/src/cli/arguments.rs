//! The arguments of the command line, and the text of `--help`.

use crate::{config::Period, role::Role};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, str::FromStr};

/// One HTTP service in front of many databases, each behind a driver plugin.
///
/// Settings come from gateway.toml and from environment variables, which win. The least that `serve` needs:
/// DATABASE_ENCRYPTION_KEY (32 random bytes: `openssl rand -hex 32`), GATEWAY_JWT_SECRET (32 bytes or more) or
/// GATEWAY_JWKS_URL, and a plugins.toml that lists drivers.
#[derive(Debug, Parser)]
#[command(name = "studio-gateway", version, propagate_version = true)]
pub struct Arguments {
    /// The settings file. Default: gateway.toml, if there is one in this folder.
    #[arg(long, short, global = true, env = "GATEWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP until SIGTERM or Ctrl-C. Prints `listening on http://ADDR:PORT` when ready.
    Serve,
    /// Check settings, plugins.toml, keys and the registry, and tell all that is wrong, without serving.
    Check,
    /// Bring the registry's tables up to date. `serve` does this too.
    Migrate,
    /// Seal all stored secrets under DATABASE_ENCRYPTION_KEY anew. Can be interrupted and run again.
    ///
    /// To change keys: move the old one to DATABASE_ENCRYPTION_KEYS_RETIRED, set the new one, restart, run this, and
    /// remove the old one when it reports nothing left.
    Rekey,
    /// Print a token, signed with GATEWAY_JWT_SECRET.
    #[command(after_help = "Example:\n  studio-gateway token --sub alice --project shop=developer --ttl 8h")]
    Token(TokenArguments),
    /// Create, list and delete projects, right in the registry.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Create, list, test and delete connections, right in the registry.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Look at drivers.
    #[command(subcommand)]
    Plugin(PluginCommand),
}

/// `token`.
#[derive(Debug, Args)]
pub struct TokenArguments {
    /// The user.
    #[arg(long)]
    pub sub: String,
    /// A role on a project; `*` is every project. Can be repeated. Roles: viewer, developer, admin, owner.
    #[arg(long = "project", value_name = "REF=ROLE")]
    pub projects: Vec<ProjectGrant>,
    /// Owner of every project, and may reload plugins.
    #[arg(long)]
    pub platform_admin: bool,
    /// How long the token is valid: seconds, or `15m`, `8h`, `30d`.
    #[arg(long, default_value = "1h")]
    pub ttl: Period,
}

/// `REF=ROLE`.
#[derive(Debug, Clone)]
pub struct ProjectGrant {
    /// The project's ref, or `*`.
    pub reference: String,
    /// The role.
    pub role: Role,
}

impl FromStr for ProjectGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (reference, role) = text.split_once('=').ok_or("expected REF=ROLE, such as shop=developer")?;
        let role = Role::parse(role).ok_or("the role must be viewer, developer, admin or owner")?;
        Ok(Self { reference: reference.to_owned(), role })
    }
}

/// `project …`.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Create a project, and its organization if there is none of that slug.
    Create {
        /// The project's ref: 1 to 63 of a-z, 0-9, `_` and `-`.
        reference: String,
        /// The organization's slug.
        #[arg(long)]
        organization: String,
        /// The project's name for people. Default: the ref.
        #[arg(long)]
        name: Option<String>,
        /// The user who owns an organization that is created.
        #[arg(long, default_value = "admin")]
        owner: String,
    },
    /// List all projects.
    List,
    /// Delete a project with its members and connections.
    Delete {
        /// The project's ref.
        reference: String,
    },
    /// Set the secret that the project's own tokens are signed with (`anon`, `service_role`), read from standard input.
    SetJwtSecret {
        /// The project's ref.
        reference: String,
    },
}

/// `connection …`.
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// Create a connection from a JSON body, as the API takes it, read from standard input.
    #[command(
        after_help = "Example:\n  echo '{\"identifier\":\"main\",\"host\":\"127.0.0.1\",\"port\":6379}' \\\n    | studio-gateway connection create shop redis"
    )]
    Create {
        /// The project's ref.
        reference: String,
        /// The database type: one of the loaded drivers.
        #[arg(value_name = "TYPE")]
        database_type: String,
    },
    /// List a project's connections.
    List {
        /// The project's ref.
        reference: String,
    },
    /// Connect with the stored settings, and say what was found.
    Test {
        /// The project's ref.
        reference: String,
        /// The database type.
        #[arg(value_name = "TYPE")]
        database_type: String,
        /// The connection's identifier.
        identifier: String,
    },
    /// Delete a connection.
    Delete {
        /// The project's ref.
        reference: String,
        /// The database type.
        #[arg(value_name = "TYPE")]
        database_type: String,
        /// The connection's identifier.
        identifier: String,
    },
}

/// `plugin …`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Load what plugins.toml lists, and say what came of each.
    List,
    /// Print a driver's manifest, API version, size and SHA-256 (for `sha256` in plugins.toml) as JSON; of a component
    /// also what it imports and how long it takes to compile.
    Inspect {
        /// The driver's file.
        file: PathBuf,
    },
    /// Load a file as the gateway would, by its line in plugins.toml if it has one, and say in one line whether it could.
    Verify {
        /// The driver's file.
        file: PathBuf,
    },
    /// Load a file in this very process. The gateway runs this to try a driver before it loads it.
    #[command(hide = true)]
    Trial {
        /// The driver's file.
        file: PathBuf,
    },
    /// Load a file in this very process, and look at all that its manifest says. The gateway runs this.
    #[command(hide = true)]
    Examine {
        /// The driver's file.
        file: PathBuf,
    },
    /// Compile a component in this very process, to standard output. The gateway runs this.
    #[command(hide = true)]
    Compile {
        /// The component's file.
        file: PathBuf,
    },
}
