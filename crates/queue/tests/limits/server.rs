use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hermod_queue::Store;
use hermod_queue::governance::Limits;
use redis::Connection;
use tokio_util::task::TaskTracker;

/// A Redis of the test's own.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let binary = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let folder = std::env::temp_dir().join(format!(
            "hermod-limits-{}-{:x}",
            std::process::id(),
            fastrand::u64(..)
        ));
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.join("redis.sock");
        let process = Command::new(binary)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while redis::Client::open(server.url()).unwrap().get_connection().is_err() {
            assert!(Instant::now() < deadline, "Redis does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn url(&self) -> String {
        format!("unix://{}", self.folder.join("redis.sock").display())
    }

    /// A connection for what the test itself looks at.
    pub(crate) fn connect(&self) -> Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// What a process has.
    pub(crate) fn store(&self) -> Store {
        Store::new(&self.url().parse().unwrap()).unwrap()
    }

    /// Those of a process.
    pub(crate) fn limits(&self) -> Limits {
        Limits::spawn(&self.store(), &TaskTracker::new())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
