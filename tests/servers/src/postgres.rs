//! PostgreSQL, of any version that is installed. Its data survive a restart.

use crate::{Certificates, Place, PostgresPrograms, Program, Server};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// A PostgreSQL.
pub type PostgresServer = Server<PostgresOptions>;

/// Options of a PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    programs: Option<PostgresPrograms>,
    version: Option<u32>,
    login: Option<(String, String)>,
    tls: bool,
    client_certificate: bool,
    only_plain: bool,
    settings: Vec<String>,
}

impl PostgresOptions {
    /// Makes options for one that is open to everyone on this machine; user `postgres` may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets these programs, in place of [`PostgresPrograms::find`].
    pub fn programs(mut self, programs: PostgresPrograms) -> Self {
        self.programs = Some(programs);
        self
    }

    /// Sets this version, one of those that [`PostgresPrograms::versions`] lists.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds a superuser, who shows a password by SCRAM-SHA-256; nobody else gets in over the network. The first client
    /// that logs in by the socket must create the user.
    pub fn login(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Makes the server speak TLS only, with a certificate of its own authority.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Makes it also ask for the certificate in [`Certificates::client_file`], besides a password where there is one.
    pub fn client_certificate(mut self) -> Self {
        self.client_certificate = true;
        self.tls()
    }

    /// Makes the server have TLS, and let nobody log in by it.
    pub fn offers_tls_in_vain(mut self) -> Self {
        self.only_plain = true;
        self.tls()
    }

    /// Adds a setting, over the server's own: `setting("max_connections=10")`.
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Returns the superuser of [`login`](Self::login), and the password.
    pub fn superuser(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(name, password)| (name.as_str(), password.as_str()))
    }

    /// Makes the lines that say which users get in, and how. The socket is open to all.
    fn access(&self) -> String {
        let (kind, method) = (
            match (self.tls, self.only_plain) {
                (_, true) => "hostnossl",
                (true, false) => "hostssl",
                (false, false) => "host",
            },
            if self.login.is_some() { "scram-sha-256" } else { "trust" },
        );
        let certificate = if self.client_certificate { " clientcert=verify-ca" } else { "" };
        format!("local all all trust\n{kind} all all 127.0.0.1/32 {method}{certificate}\n")
    }

    fn found(&self) -> io::Result<&PostgresPrograms> {
        self.programs.as_ref().ok_or_else(|| io::Error::other("PostgreSQL's programs were not looked for"))
    }
}

impl Program for PostgresOptions {
    const NAME: &'static str = "PostgreSQL";
    /// The signal that ends it without waiting for its clients.
    const STOP: &'static str = "INT";
    /// The signal that ends it at once; a killed server would leave shared memory behind.
    const CRASH: &'static str = "QUIT";

    fn certificates(&self, folder: &Path) -> io::Result<Option<Certificates>> {
        self.tls.then(|| Certificates::make(folder)).transpose()
    }

    fn prepare(&mut self, place: &Place) -> io::Result<()> {
        let programs = match (self.programs.take(), self.version) {
            (Some(programs), _) => programs,
            (None, Some(version)) => PostgresPrograms::of_version(version)?,
            (None, None) => PostgresPrograms::find()?,
        };
        if !place.file("data/PG_VERSION").is_file() {
            programs.make_data(&place.folder)?;
            fs::write(place.file("data/pg_hba.conf"), self.access())?;
        }
        if let Some(files) = &place.certificates {
            programs.give(&files.key_file)?;
            fs::set_permissions(&files.key_file, fs::Permissions::from_mode(0o600))?;
        }
        self.programs = Some(programs);
        Ok(())
    }

    fn command(&self, place: &Place) -> io::Result<Command> {
        let programs = self.found()?;
        let mut settings = vec![
            format!("unix_socket_directories={}", place.folder.display()),
            // Before PostgreSQL 14, it is MD5 unless set.
            "password_encryption=scram-sha-256".to_owned(),
        ];
        if let Some(files) = &place.certificates {
            let file = |setting: &str, path: &Path| format!("{setting}={}", path.display());
            settings.push("ssl=on".to_owned());
            settings.push(file("ssl_cert_file", &files.certificate_file));
            settings.push(file("ssl_key_file", &files.key_file));
            settings.push(file("ssl_ca_file", &files.authority_file));
        }
        settings.extend(self.settings.iter().cloned());
        Ok(programs.as_user(programs.server(place.port, settings), &place.folder))
    }

    fn answers(&self, place: &Place) -> bool {
        let Ok(programs) = self.found() else { return false };
        let mut ask = Command::new(programs.path("pg_isready"));
        ask.args(["-q", "-h", "127.0.0.1", "-p", &place.port.to_string()]).stdin(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    }
}

impl Server<PostgresOptions> {
    /// Makes the URL of its database `postgres` for the user `postgres`, where no login is asked for.
    pub fn postgres_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Makes it a standby, which follows nobody, from its next start on.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn become_standby(&self) -> io::Result<()> {
        let file = self.file("data/standby.signal");
        fs::write(&file, "")?;
        self.options.found()?.give(&file)
    }
}
