//! PostgreSQL's own programs, and the making of a server's data with them.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder where Debian puts the programs that are not on the PATH, in one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs, and the user that they run as.
#[derive(Debug, Clone)]
pub struct PostgresPrograms {
    folder: PathBuf,
    /// The user's id; `None` when the user of this process may run a server too.
    user: Option<u32>,
}

impl PostgresPrograms {
    /// Finds those on the PATH, or else the newest that Debian has here.
    ///
    /// # Errors
    /// When there are none, or as for [`beside`](Self::beside).
    pub fn find() -> io::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .chain(debian_folders())
            .map(|folder| folder.join("initdb"))
            .find(|file| file.is_file());
        let missing = "no PostgreSQL server found: install the Debian package `postgresql`";
        Self::beside(&found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing))?)
    }

    /// Finds those of one version that Debian has here.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn of_version(version: u32) -> io::Result<Self> {
        let initdb = Path::new(DEBIAN).join(version.to_string()).join("bin/initdb");
        Self::beside(&initdb)
            .map_err(|error| io::Error::new(error.kind(), format!("PostgreSQL {version}: {error}")))
    }

    /// Takes those in the folder with this `initdb`.
    ///
    /// # Errors
    /// When it is not there, or this is root and has no user `postgres` to run them.
    pub fn beside(initdb: &Path) -> io::Result<Self> {
        // The file on the PATH may be a link; the other programs are beside the file that it leads to.
        let initdb = initdb.canonicalize()?;
        let folder = initdb.parent().map(Path::to_owned).unwrap_or_default();
        // PostgreSQL refuses to run as root; its package makes a user for it.
        let user = if is_root()? {
            let text = output_of(Command::new("id").args(["-u", "postgres"]))?;
            Some(text.trim().parse().map_err(|_| io::Error::other("there is no user `postgres`"))?)
        } else {
            None
        };
        Ok(Self { folder, user })
    }

    /// Lists the versions that [`of_version`](Self::of_version) can find, the oldest first.
    pub fn versions() -> Vec<u32> {
        let has_server =
            |version: &u32| Path::new(DEBIAN).join(version.to_string()).join("bin/initdb").is_file();
        debian_versions().into_iter().filter(has_server).collect()
    }

    /// Returns the path of one of them: `psql`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes `command` run as the server's user, in a folder of that user.
    pub fn as_user(&self, mut command: Command, folder: &Path) -> Command {
        command.current_dir(folder);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Hands a file or folder to the server's user.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        chown(path, self.user, self.user)
    }

    /// Makes the folder `data` of a server in `folder`, and gives `folder` to the server's user. The superuser is
    /// `postgres`, who needs no password.
    ///
    /// # Errors
    /// When `initdb` fails.
    pub fn make_data(&self, folder: &Path) -> io::Result<()> {
        self.give(folder)?;
        let mut command = self.as_user(Command::new(self.path("initdb")), folder);
        command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        output_of(command.args(["--pgdata", "data"])).map(drop)
    }

    /// Makes a command that runs the server on these data, with settings that go over its own: `max_connections=300`.
    pub fn server<S: AsRef<OsStr>>(&self, port: u16, settings: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(self.path("postgres"));
        command.args(["-D", "data", "-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "fsync=off"] {
            command.args(["-c", setting]);
        }
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        command
    }
}

/// Lists the folders of the programs that Debian has here, the newest version first.
pub fn debian_folders() -> impl Iterator<Item = PathBuf> {
    debian_versions().into_iter().rev().map(|version| Path::new(DEBIAN).join(version.to_string()).join("bin"))
}

/// Lists the versions of the server's programs that Debian has here, the oldest first.
fn debian_versions() -> Vec<u32> {
    let entries = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut versions: Vec<u32> = versions.collect();
    versions.sort_unstable();
    versions
}

/// Tells whether this process may do anything here.
///
/// # Errors
/// When the system does not tell.
pub fn is_root() -> io::Result<bool> {
    Ok(output_of(Command::new("id").arg("-u"))?.trim() == "0")
}

fn output_of(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}: {}", command.get_program().to_string_lossy(), reason.trim())))
}
