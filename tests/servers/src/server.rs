//! A server of any kind, with its own port and folder.

use crate::{
    Place, Program,
    ports::Claim,
    process::{Orphan, Process, append_to},
};
use std::{
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take to start.
pub const START_TIME: Duration = Duration::from_secs(60);
/// How long a server may take to stop in order.
pub const STOP_TIME: Duration = Duration::from_secs(40);
/// How long a server may take to end as after a crash.
const CRASH_TIME: Duration = Duration::from_secs(5);

/// A server, running or stopped. Dropping it ends it: in order if its folder stays, as in a crash if the folder is
/// removed.
#[derive(Debug)]
pub struct Server<P: Program> {
    /// Its options, from its next start on.
    pub options: P,
    place: Place,
    log: PathBuf,
    process: Option<Process>,
    _ports: Claim,
    _temporary: Option<TempDir>,
}

impl<P: Program> Server<P> {
    /// Makes one in a folder that is removed with it, and does not start it.
    ///
    /// # Errors
    /// When something that it needs can't be made.
    pub fn new(options: P) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("studio-test-").tempdir()?;
        let path = folder.path().to_owned();
        Self::prepare(options, path, Some(folder))
    }

    /// Makes one in a folder that stays, and goes on with the data that are there. Does not start it.
    ///
    /// # Errors
    /// When something that it needs can't be made.
    pub fn in_folder(options: P, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Self::prepare(options, folder.to_owned(), None)
    }

    fn prepare(mut options: P, folder: PathBuf, temporary: Option<TempDir>) -> io::Result<Self> {
        let ports = Claim::ports(P::PORTS)?;
        let certificates = options.certificates(&folder)?;
        let is_kept = temporary.is_none();
        let place = Place { port: ports.first, certificates, folder, is_kept };
        options.prepare(&place)?;
        let log = place.file("log");
        Ok(Self { options, place, log, process: None, _ports: ports, _temporary: temporary })
    }

    /// Writes its log to another file, from the beginning.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn log_to(mut self, file: PathBuf) -> io::Result<Self> {
        fs::write(&file, "")?;
        self.log = file;
        Ok(self)
    }

    /// Starts one in a folder that is removed with it, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(options: P) -> io::Result<Self> {
        let mut server = Self::new(options)?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it runs already, ends, or does not answer within [`START_TIME`].
    pub fn start_again(&mut self) -> io::Result<()> {
        self.start_unless(|| false)
    }

    /// Starts it as [`start_again`](Self::start_again) does, until somebody gives up.
    ///
    /// # Errors
    /// The same, and when it is given up.
    pub fn start_unless(&mut self, given_up: impl Fn() -> bool) -> io::Result<()> {
        self.spawn()?;
        wait_until(START_TIME, &format!("{} answers", P::NAME), || {
            if given_up() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
            }
            self.is_ready()
        })
    }

    /// Starts it and does not wait: see [`is_ready`](Self::is_ready).
    ///
    /// # Errors
    /// When it runs already or can't be run.
    pub fn spawn(&mut self) -> io::Result<()> {
        if self.process.is_some() {
            return Err(io::Error::other(format!("{} runs already", P::NAME)));
        }
        let mut command = self.options.command(&self.place)?;
        append_to(&mut command, &self.log)?;
        let orphan = if self.place.is_kept {
            Orphan { signal: P::STOP, folder: None }
        } else {
            Orphan { signal: P::CRASH, folder: Some(self.place.folder.clone()) }
        };
        self.process = Some(Process::start(command, &orphan)?);
        Ok(())
    }

    /// Tells whether it answers.
    ///
    /// # Errors
    /// When it ended by itself, with its log.
    pub fn is_ready(&mut self) -> io::Result<bool> {
        self.must_run()?;
        Ok(self.options.answers(&self.place))
    }

    /// Checks that it runs.
    ///
    /// # Errors
    /// When it ended by itself, with its log.
    pub fn must_run(&mut self) -> io::Result<()> {
        match self.running_mut()?.ended()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("{} ended: {status}\n{}", P::NAME, self.log()))),
        }
    }

    /// Returns the id of its process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn id(&self) -> io::Result<u32> {
        Ok(self.running()?.id())
    }

    fn running(&self) -> io::Result<&Process> {
        self.process.as_ref().ok_or_else(Self::not_running)
    }

    fn running_mut(&mut self) -> io::Result<&mut Process> {
        self.process.as_mut().ok_or_else(Self::not_running)
    }

    fn not_running() -> io::Error {
        io::Error::other(format!("{} does not run", P::NAME))
    }

    /// Tells whether it has ended since it was asked to. Then it can be started again.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        let status = self.process.as_mut().map(Process::ended).transpose()?;
        let ended = status.is_none_or(|status| status.is_some());
        if ended {
            self.process = None;
        }
        Ok(ended)
    }

    /// Sends its process a signal that ends it, even if it is frozen. [`has_ended`](Self::has_ended) tells when it has
    /// ended.
    ///
    /// # Errors
    /// When it does not run.
    pub fn order_end(&self, signal: &str) -> io::Result<()> {
        self.running()?.order_end(signal)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it does not run, or had to be killed.
    pub fn stop(&mut self) -> io::Result<()> {
        let status = self.running_mut()?.end(P::STOP, STOP_TIME);
        self.process = None;
        status.map(drop).ok_or_else(|| io::Error::other(format!("{} does not stop", P::NAME)))
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(P::CRASH, CRASH_TIME);
        }
    }

    /// Freezes it: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.running()?.freeze()
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.running()?.thaw()
    }

    /// Reads its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl<P: Program> Deref for Server<P> {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl<P: Program> Drop for Server<P> {
    fn drop(&mut self) {
        if let Some(process) = self.process.as_mut()
            && matches!(process.ended(), Ok(None))
        {
            match self.place.is_kept {
                true => process.end(P::STOP, STOP_TIME),
                false => process.end(P::CRASH, CRASH_TIME),
            };
        }
    }
}

/// Asks again and again until the answer is yes.
///
/// # Errors
/// An error for an answer, or no yes within `limit`.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !ready()? {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("not within {limit:?}: {what}")));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
