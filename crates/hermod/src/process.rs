//! Processes that are gone when their owner is.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// A child process. It is killed when this is dropped, and by the kernel when the thread that spawned it dies
/// with its process, so spawn on the main thread.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `program` in a process group of its own, so that a terminal's Ctrl-C reaches only its owner, who
    /// then stops things in order. Each line that it writes goes to `log`, on a thread of its own.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn<I, S>(
        name: &str,
        program: &Path,
        args: I,
        environment: &[(&str, &str)],
        log: impl FnMut(&str) + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = tied_to_this_process(program);
        command.args(args).envs(environment.iter().copied()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for pipe in pipes.into_iter().flatten() {
            let mut log = log.clone();
            std::thread::Builder::new().name(format!("log of {name}")).spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| log(&line));
            })?;
        }
        Ok(Self { name: name.to_owned(), child })
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends it a signal; one that has ended is let be.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.try_wait(), Ok(None)) {
            // It may have ended just now, which is as good.
            kill_process(Pid::from_child(&self.child), signal).ok();
        }
    }

    /// Waits for its end, up to `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and is only reaped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `program`, killed by the kernel when this thread dies, where util-linux's `setpriv` can arrange it.
fn tied_to_this_process(program: &Path) -> Command {
    match on_path("setpriv").filter(|_| cfg!(target_os = "linux")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The first executable of this name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
