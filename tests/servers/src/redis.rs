//! Redis, or a Valkey in its place: alone, as a cluster, and a Sentinel before it.

use crate::{Certificates, Place, Program, Server, answers::first_line, free_port, listens, wait_until};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Names a Valkey; `cargo xtask test` installs one where it can be had.
const VALKEY: &str = "STUDIO_TEST_VALKEY";
/// How long the nodes of a cluster may take to agree on it.
const CLUSTER_TIME: Duration = Duration::from_secs(30);

/// A Redis.
pub type RedisServer = Server<RedisOptions>;

/// Options of a Redis.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    program: Option<OsString>,
    password: Option<String>,
    tls: bool,
    certificates: Option<Certificates>,
    is_node: bool,
    bus: Option<u16>,
    lines: Vec<String>,
    arguments: Vec<String>,
}

impl RedisOptions {
    /// Makes options for one that is open to everyone on this machine, and keeps nothing on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets another program: `redis-server` in a folder that is not on the PATH.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Makes options for a Valkey in its place; `None`, and a line that says so, where there is none to test with.
    pub fn valkey() -> Option<Self> {
        let program = std::env::var_os(VALKEY);
        if program.is_none() {
            eprintln!("skipped: there is no Valkey to test with; `cargo xtask test` says why");
        }
        program.map(|program| Self { program: Some(program), ..Self::default() })
    }

    /// Gives the default user this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds an ACL user: `acl_user("reader", "on >secret ~* +@read")`.
    pub fn acl_user(self, name: &str, rules: &str) -> Self {
        self.line(format!("user {name} {rules}"))
    }

    /// Makes the server speak TLS only, with a certificate of its own authority.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Makes the server speak TLS only, with this certificate.
    pub fn certificates(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Returns the password of the default user.
    pub fn default_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Makes it a node of a cluster, which [`form_cluster`] makes of several.
    pub fn node(mut self) -> Self {
        self.is_node = true;
        self
    }

    /// Renames a command, or removes it by the name `""`.
    pub fn rename_command(self, name: &str, to: &str) -> Self {
        self.line(format!("rename-command {name} \"{to}\""))
    }

    /// Adds any other line of `redis.conf`.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds any other arguments: `["--databases", "2"]`.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    fn configuration(&self, place: &Place) -> String {
        let port = place.port;
        // Data that are kept are written once a minute when something changed, and at the end.
        let save = if place.is_kept { "60 1" } else { "\"\"" };
        let mut lines = vec!["bind 127.0.0.1".to_owned(), format!("save {save}"), "appendonly no".to_owned()];
        match &place.certificates {
            None => lines.push(format!("port {port}")),
            Some(files) => {
                lines.push(format!("port 0\ntls-port {port}\ntls-auth-clients no"));
                lines.push(format!("tls-ca-cert-file {}", files.authority_file.display()));
                lines.push(format!("tls-cert-file {}", files.certificate_file.display()));
                lines.push(format!("tls-key-file {}", files.key_file.display()));
            }
        }
        if let Some(bus) = self.bus {
            let over = if place.certificates.is_some() { "yes" } else { "no" };
            lines.push(format!("cluster-enabled yes\ncluster-port {bus}\ntls-cluster {over}"));
        }
        lines.extend(self.password.iter().map(|password| format!("requirepass {password}")));
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

impl Program for RedisOptions {
    const NAME: &'static str = "Redis";

    fn certificates(&self, folder: &Path) -> io::Result<Option<Certificates>> {
        match (&self.certificates, self.tls) {
            (Some(given), _) => Ok(Some(given.clone())),
            (None, true) => Certificates::make(folder).map(Some),
            (None, false) => Ok(None),
        }
    }

    fn prepare(&mut self, _: &Place) -> io::Result<()> {
        // The nodes' own port: its default is the other port plus 10000, which is among the ports of outgoing
        // connections.
        self.bus = self.is_node.then(free_port).transpose()?;
        Ok(())
    }

    fn command(&self, place: &Place) -> io::Result<Command> {
        let file = place.file("redis.conf");
        fs::write(&file, self.configuration(place))?;
        let mut command = Command::new(self.program.clone().unwrap_or_else(|| "redis-server".into()));
        command.arg(file).args(&self.arguments).current_dir(&place.folder);
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        if place.certificates.is_some() {
            return listens(place.port);
        }
        // A server that wants a login first does answer; one that still loads its data does not.
        first_line(place.port, b"PING\r\n")
            .is_ok_and(|line| !line.is_empty() && !line.starts_with("-LOADING"))
    }
}

impl Server<RedisOptions> {
    /// Runs `redis-cli` on it, as the default user, and gives its output: `cli(&["GET", "k"])`.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn cli(&self, arguments: &[&str]) -> io::Result<String> {
        let output = self.cli_command().args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes a `redis-cli` command that is not run yet.
    pub fn cli_command(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).stdin(Stdio::null());
        if let Some(files) = &self.certificates {
            command.arg("--tls").arg("--cacert").arg(&files.authority_file);
        }
        command
    }
}

/// Starts a cluster of three masters.
///
/// # Errors
/// When they do not start, or do not agree.
pub fn start_cluster(options: &RedisOptions) -> io::Result<Vec<Server<RedisOptions>>> {
    let start = |_| Server::start(options.clone().node());
    let nodes = (0..3).map(start).collect::<io::Result<Vec<_>>>()?;
    form_cluster(&nodes)?;
    Ok(nodes)
}

/// Makes one cluster of nodes, each a master, and waits until all of them know it.
///
/// # Errors
/// When they do not agree.
pub fn form_cluster<'a>(nodes: impl IntoIterator<Item = &'a Server<RedisOptions>>) -> io::Result<()> {
    let nodes: Vec<_> = nodes.into_iter().collect();
    let Some(first) = nodes.first() else { return Ok(()) };
    let mut create = first.cli_command();
    create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    let created = create.args(["--cluster-yes", "--cluster-replicas", "0"]).output()?;
    if !created.status.success() {
        return Err(io::Error::other(format!("no cluster of Redis: {created:?}")));
    }
    for node in nodes {
        wait_until(CLUSTER_TIME, "the cluster is whole", || {
            Ok(node.cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok"))
        })?;
    }
    Ok(())
}

/// Options of a Sentinel that knows one master, `mymaster`.
#[derive(Debug)]
pub struct SentinelOptions {
    master_port: u16,
}

impl SentinelOptions {
    /// Makes options for one whose master listens on this port.
    pub fn new(master_port: u16) -> Self {
        Self { master_port }
    }
}

impl Program for SentinelOptions {
    const NAME: &'static str = "Redis Sentinel";

    fn command(&self, place: &Place) -> io::Result<Command> {
        // A file of its own, since the Sentinel writes to it.
        let file = place.file("sentinel.conf");
        let (port, master) = (place.port, self.master_port);
        fs::write(&file, format!("port {port}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n"))?;
        let mut command = Command::new("redis-server");
        command.arg(file).arg("--sentinel").current_dir(&place.folder);
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        listens(place.port)
    }
}
