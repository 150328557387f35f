//! The Redis servers of a run, each with a folder of its own: a single one, or the nodes of a Cluster.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hermod::process::Signal;
use hermod::redis_server::{self, RedisServer};
use redis::FromRedisValue;
use tempfile::TempDir;

/// As with `hermod up`.
const REDIS_CONF: &str = include_str!("../../../deploy/redis.conf");
/// Instead of what that file says: media that all wait at once must find room.
const MAX_MEMORY: [&str; 2] = ["--maxmemory", "6gb"];
/// How long a server may take to stop, and a Cluster to be whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first slot of each node of the Cluster, and the end.
const SLOTS: [u16; 4] = [0, 5461, 10_923, 16_384];

#[derive(Debug)]
pub(crate) struct Servers {
    nodes: Vec<Node>,
    /// For `REDIS_URL`.
    pub(crate) url: String,
    // Gone last, when nothing writes to it any more.
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    /// None while it is down.
    server: Option<RedisServer>,
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

impl Servers {
    /// A server that is reached over a Unix socket.
    pub(crate) fn private(append_only: bool) -> anyhow::Result<Self> {
        let folder = folder()?;
        let append_only = ["--appendonly", if append_only { "yes" } else { "no" }];
        let node = Node::new(&folder.path().join("redis"), 0, &[append_only, MAX_MEMORY].concat());
        let mut servers = Self { nodes: vec![node], url: String::new(), folder };
        servers.start()?;
        servers.url = servers.own_urls().concat();
        Ok(servers)
    }

    /// A server that is reached over TCP, with its append-only file.
    pub(crate) fn single() -> anyhow::Result<Self> {
        let folder = folder()?;
        let port = free_port()?;
        let node = Node::new(&folder.path().join("redis"), port, &["--bind", "127.0.0.1"]);
        let mut servers = Self { nodes: vec![node], url: format!("redis://127.0.0.1:{port}"), folder };
        servers.start()?;
        servers.open()?;
        Ok(servers)
    }

    /// Three nodes without replicas, each with a third of the slots and its append-only file.
    pub(crate) fn cluster() -> anyhow::Result<Self> {
        let folder = folder()?;
        let (mut nodes, mut bus_ports, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..SLOTS.len() {
            let (port, bus) = (free_port()?, free_port()?.to_string());
            let port_text = port.to_string();
            let options = [
                "--bind",
                "127.0.0.1",
                "--port",
                &port_text,
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
            ];
            nodes.push(Node::new(&folder.path().join(format!("node-{number}")), port, &options));
            hosts.push(format!("127.0.0.1:{port}"));
            bus_ports.push(bus);
        }
        let mut servers = Self { nodes, url: format!("redis-cluster://{}", hosts.join(",")), folder };
        servers.start()?;
        for ((node, bus), (number, slots)) in
            servers.nodes.iter().zip(&bus_ports).zip((1..).zip(SLOTS.windows(2)))
        {
            let &[from, end] = slots else { continue };
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &(end - 1).to_string()])?;
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &number.to_string()])?;
            servers.nodes.first().context("no node")?.ask::<()>(&[
                "CLUSTER",
                "MEET",
                "127.0.0.1",
                &node.port.to_string(),
                bus,
            ])?;
        }
        servers.wait_until_whole()?;
        Ok(servers)
    }

    fn wait_until_whole(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let mut whole = true;
            for node in &self.nodes {
                let info: String = node.ask(&["CLUSTER", "INFO"])?;
                whole &= info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
            }
            if whole {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "the Cluster is not whole after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The Unix socket of each server, which answers to the benchmark alone.
    pub(crate) fn own_urls(&self) -> Vec<String> {
        self.nodes.iter().filter_map(|node| node.server.as_ref()).map(RedisServer::url).collect()
    }

    /// A folder for what else the run needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills all servers, as a crash of their machine would.
    pub(crate) fn kill(&mut self) {
        for node in &mut self.nodes {
            node.server = None;
        }
    }

    /// Starts all servers with the data that they had, and returns once they have loaded it. A single server is not
    /// reached over TCP before [`Servers::open`], so that its first commands can be counted.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let server = redis_server::find(|text| drop(writeln!(std::io::stderr(), "{text}")))?;
        let conf = self.folder.path().join("redis.conf");
        for node in &mut self.nodes {
            let options: Vec<&str> = node.options.iter().map(String::as_str).collect();
            node.server = Some(RedisServer::start(&server, &node.folder, Some(&conf), &options, |_| {})?);
        }
        Ok(())
    }

    /// Lets a single server listen on its port. A node of a Cluster listens from its start.
    pub(crate) fn open(&self) -> anyhow::Result<()> {
        match self.nodes.as_slice() {
            [node] => node.ask(&["CONFIG", "SET", "port", &node.port.to_string()]),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If a server does not stop in time.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        for mut server in self.nodes.into_iter().filter_map(|node| node.server) {
            server.process.signal(Signal::TERM);
            server.process.wait(PATIENCE).context("Redis does not stop")?;
        }
        Ok(())
    }
}

impl Node {
    fn new(folder: &Path, port: u16, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self { server: None, port, folder: folder.to_owned(), options }
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> anyhow::Result<T> {
        let server = self.server.as_ref().context("a node of Redis is down")?;
        let mut connection = redis::Client::open(server.url())?.get_connection_with_timeout(PATIENCE)?;
        let (name, args) = command.split_first().context("no command")?;
        redis::cmd(name).arg(args).query(&mut connection).with_context(|| command.join(" "))
    }
}

fn folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir().context("no folder for Redis")?;
    fs::write(folder.path().join("redis.conf"), REDIS_CONF)?;
    Ok(folder)
}

/// A port that was free a moment ago: these servers must be told theirs.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
