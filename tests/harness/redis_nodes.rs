use std::fs;
use std::path::{Path, PathBuf};

use hermod::process::Process;
use hermod::redis_server::RedisServer;
use redis::{Connection, FromRedisValue};

use crate::builder::PERSISTENCE;
use crate::ports::free_port;
use crate::{Logs, PATIENCE, eventually, redis_binary};

/// What the Sentinel calls its primary.
const SERVICE: &str = "main";

/// One of several servers, reached over TCP as they reach each other.
#[derive(Debug)]
pub struct RedisNode {
    /// The process; none while it is down.
    pub server: Option<RedisServer>,
    /// Its port.
    pub port: u16,
    folder: PathBuf,
    options: Vec<String>,
    logs: Logs,
}

impl RedisNode {
    async fn start(folder: PathBuf, more: &[&str], logs: &Logs) -> Self {
        let port = free_port();
        let port_option = ["--port", &port.to_string()];
        let options = port_option.iter().chain(&PERSISTENCE).chain(more).map(|option| (*option).to_owned());
        let options = options.collect();
        let mut node = Self { server: None, port, folder, options, logs: logs.clone() };
        node.restart().await;
        node
    }

    /// Starts it with what it had before.
    pub async fn restart(&mut self) {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let server = RedisServer::spawn(redis_binary(), &self.folder, None, &options, self.logs.keep());
        let url = format!("redis://127.0.0.1:{}", self.port);
        self.server = Some(answers(server.unwrap(), &url, &self.logs).await);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// A connection to it.
    pub fn connect(&self) -> Connection {
        connect(self.port)
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        redis::cmd(command[0]).arg(&command[1..]).query(&mut self.connect()).unwrap()
    }
}

/// More than one server.
#[derive(Debug)]
pub enum RedisNodes {
    /// Three nodes without replicas, each with a third of the slots.
    Cluster(RedisCluster),
    /// A primary and a replica.
    Sentinel(RedisSentinel),
}

impl RedisNodes {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
        }
    }

    /// A connection to each server that holds shards.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        match self {
            Self::Cluster(cluster) => cluster.0.iter().map(RedisNode::connect).collect(),
            Self::Sentinel(sentinel) => vec![connect(sentinel.primary_port())],
        }
    }
}

/// Three nodes without replicas.
#[derive(Debug)]
pub struct RedisCluster(pub Vec<RedisNode>);

impl RedisCluster {
    pub(crate) async fn start(folder: &Path, logs: &Logs) -> Self {
        let mut nodes = Vec::new();
        for number in 0..3 {
            let bus = free_port().to_string();
            let options =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            let node = RedisNode::start(folder.join(format!("node-{number}")), &options, logs).await;
            nodes.push((node, bus));
        }
        let (first, _) = &nodes[0];
        for (index, (node, bus)) in nodes.iter().enumerate() {
            let bounds = [0, 5461, 10923, 16384];
            let (from, to) = (bounds[index].to_string(), (bounds[index + 1] - 1).to_string());
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            first.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]);
        }
        let cluster = Self(nodes.into_iter().map(|(node, _)| node).collect());
        cluster.is_whole().await;
        cluster
    }

    /// Waits until every node says that all slots are served.
    pub async fn is_whole(&self) {
        eventually("the cluster is whole", PATIENCE, async || {
            let is_whole = |node: &RedisNode| {
                let info: String = node.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            };
            self.0.iter().all(is_whole).then_some(())
        })
        .await;
    }

    /// The node that holds the keys of this shard.
    pub fn node_of(&self, shard: u16) -> usize {
        let slot: u16 = self.0[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{hermod:{shard}}}:queue")]);
        let owns = |node: &RedisNode| {
            let own: String = node.ask(&["CLUSTER", "NODES"]);
            let mine = own.lines().find(|line| line.contains("myself")).unwrap();
            mine.split(' ').skip(8).filter(|range| !range.starts_with('[')).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                (from.parse().unwrap()..=to.parse::<u16>().unwrap()).contains(&slot)
            })
        };
        self.0.iter().position(owns).unwrap()
    }

    /// Moves a shard's slot, with its keys, to another node, as an operator's tool does.
    pub async fn migrate(&self, shard: u16, to: usize) {
        let slot: u16 = self.0[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{hermod:{shard}}}:queue")]);
        let (slot, from) = (slot.to_string(), self.node_of(shard));
        let id = |node: usize| self.0[node].ask::<String>(&["CLUSTER", "MYID"]);
        let (from_id, to_id) = (id(from), id(to));
        self.0[to].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        self.0[from].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        let port = self.0[to].port.to_string();
        eventually("all keys have moved", PATIENCE, async || {
            let keys: Vec<String> = self.0[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            for key in &keys {
                // One that has expired meanwhile is not moved, which is as good.
                let moved: String = self.0[from].ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
                assert!(moved == "OK" || moved == "NOKEY", "{moved}");
            }
            keys.is_empty().then_some(())
        })
        .await;
        for node in [to, from, 3 - to - from] {
            self.0[node].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.0.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }
}

/// A primary, a replica, and a Sentinel that makes the replica the primary when the primary is gone.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The one that is the primary at first, and the other.
    pub servers: Vec<RedisNode>,
    port: u16,
    _sentinel: Process,
}

impl RedisSentinel {
    pub(crate) async fn start(folder: &Path, logs: &Logs) -> Self {
        let primary = RedisNode::start(folder.join("primary"), &[], logs).await;
        let primary_port = primary.port.to_string();
        let replica = RedisNode::start(
            folder.join("replica"),
            &["--replicaof", &format!("127.0.0.1 {primary_port}")],
            logs,
        )
        .await;
        eventually("the replica follows", PATIENCE, async || {
            replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
        })
        .await;
        let port = free_port();
        let conf = folder.join("sentinel.conf");
        let settings = format!(
            "port {port}\nsentinel monitor {SERVICE} 127.0.0.1 {primary_port} 1\n\
             sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
        );
        fs::write(&conf, settings).unwrap();
        let args = [conf.as_os_str(), "--sentinel".as_ref()];
        let sentinel = Process::spawn("sentinel", redis_binary(), args, &[], logs.keep()).unwrap();
        let redis = Self { servers: vec![primary, replica], port, _sentinel: sentinel };
        eventually("the sentinel knows the replica", PATIENCE, async || {
            let mut sentinel =
                redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap().get_connection().ok()?;
            let replicas: Vec<redis::Value> =
                redis::cmd("SENTINEL").arg("REPLICAS").arg(SERVICE).query(&mut sentinel).ok()?;
            (replicas.len() == 1).then_some(())
        })
        .await;
        redis
    }

    /// The port of the primary, as the Sentinel says.
    pub fn primary_port(&self) -> u16 {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(SERVICE);
        let (_, port): (String, u16) = command.query(&mut connect(self.port)).unwrap();
        port
    }

    /// Waits until the replica has all that the primary has.
    pub async fn replica_has_all(&self) {
        let offset = |node: &RedisNode, field: &str| {
            let info: String = node.ask(&["INFO", "replication"]);
            info.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().parse::<u64>().unwrap()
        };
        let sent = offset(&self.servers[0], "master_repl_offset:");
        eventually("the replica has all", PATIENCE, async || {
            (offset(&self.servers[1], "slave_repl_offset:") >= sent).then_some(())
        })
        .await;
    }

    /// Has the Sentinel put the replica in the place of the primary, which lives.
    pub fn fail_over(&self) {
        redis::cmd("SENTINEL").arg("FAILOVER").arg(SERVICE).exec(&mut connect(self.port)).unwrap();
    }

    fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/{SERVICE}", self.port)
    }
}

fn connect(port: u16) -> Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    // A primary that becomes a replica cuts its clients off, those that connect just then, too.
    let mut tries = std::iter::repeat_with(|| client.get_connection()).take(5);
    tries.find_map(Result::ok).unwrap_or_else(|| client.get_connection().unwrap())
}

/// Waits until a server that was just started has loaded its data.
pub(crate) async fn answers(mut server: RedisServer, url: &str, logs: &Logs) -> RedisServer {
    eventually(&format!("{url} answers"), PATIENCE, async || {
        let ended = server.process.try_wait().unwrap();
        assert!(ended.is_none(), "{url} ended: {:#?}", logs.all());
        let mut connection = redis::Client::open(url).unwrap().get_connection().ok()?;
        redis::cmd("PING").query::<String>(&mut connection).ok()
    })
    .await;
    server
}
