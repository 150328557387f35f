use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use hermod::demo::{Calls, Demo, ReceivedCall};
use hermod::process::Process;
use hermod::redis_server::RedisServer;
use redis::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::redis_nodes::{RedisCluster, RedisNodes, RedisSentinel};
use crate::{Api, LEASE, Logs, Proxy, binary, eventually, redis_binary};

/// How long what is not being broken may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A whole Hermod: Redis, API processes, workers, and a provider that keeps its calls.
#[derive(Debug)]
pub struct Cluster {
    /// The first API process.
    pub api: Api,
    /// The API processes.
    pub fronts: Vec<Process>,
    /// Where they are, in the same order.
    pub apis: Arc<RwLock<Vec<Api>>>,
    /// The workers.
    pub workers: Vec<Process>,
    /// Each worker's own port, as a place to ask.
    pub worker_ports: Vec<Api>,
    /// The Redis; none while it is down.
    pub redis: Option<RedisServer>,
    /// Its servers, where it has more than one.
    pub nodes: Option<RedisNodes>,
    /// What all of the processes have written.
    pub logs: Logs,
    proxy: Option<Proxy>,
    calls: Calls,
    demo: ServerHandle,
    builder: Builder,
    folder: TempDir,
}

/// A [`Cluster`] to be.
#[derive(Clone, Debug)]
pub struct Builder {
    workers: usize,
    fronts: usize,
    config: Value,
    environment: HashMap<&'static str, String>,
    redis_options: Vec<&'static str>,
    proxied: bool,
    servers: Servers,
}

/// What Redis a [`Cluster`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    One,
    /// A Cluster of three nodes.
    Cluster,
    /// A primary, a replica and a Sentinel.
    Sentinel,
}

impl Default for Builder {
    fn default() -> Self {
        let environment = [
            ("HERMOD_LOG", "info".to_owned()),
            ("HERMOD_LOG_FORMAT", "json".to_owned()),
            ("HERMOD_LEASE_SECONDS", LEASE.as_secs().to_string()),
            ("HERMOD_LISTEN", "127.0.0.1:0".to_owned()),
            ("HERMOD_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
        ];
        Self {
            workers: 1,
            fronts: 1,
            config: json!({}),
            environment: environment.into(),
            redis_options: vec!["--appendonly", "yes", "--appendfsync", "always"],
            proxied: false,
            servers: Servers::One,
        }
    }
}

impl Builder {
    /// How many workers it has; one unless told.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many API processes it has; one unless told.
    #[must_use]
    pub fn fronts(mut self, fronts: usize) -> Self {
        self.fronts = fronts;
        self
    }

    /// Its config.json, to which the provider `demo` is added.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// An environment variable of its processes.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.insert(name, value.to_string());
        self
    }

    /// Options of its Redis.
    #[must_use]
    pub fn redis_options(mut self, options: &[&'static str]) -> Self {
        self.redis_options.extend(options);
        self
    }

    /// What Redis it has; one server unless told.
    #[must_use]
    pub fn servers(mut self, servers: Servers) -> Self {
        self.servers = servers;
        self
    }

    /// Puts a cutting proxy between its processes and Redis.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Starts all of it.
    pub async fn start(self) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let calls = Calls::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let demo_url = format!("http://{}", listener.local_addr().unwrap());
        let server = Demo::recording(calls.clone()).serve(listener).unwrap();
        let demo = server.handle();
        // The server ends with the test's runtime, which nobody outlives.
        #[expect(clippy::disallowed_methods, reason = "there is nothing to wait for")]
        drop(tokio::spawn(server));

        let mut config = self.config.clone();
        let mut provider = json!({
            "network_config": {"base_url": demo_url},
            "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
        });
        for (_, other) in config["providers"].as_object_mut().into_iter().flatten() {
            // A provider of a test is the demo provider under another name, unless it says where it is.
            if other["network_config"]["base_url"].is_null() {
                other["network_config"]["base_url"] = json!(demo_url);
            }
        }
        if let Some(settings) = config["providers"].get("demo") {
            provider = settings.clone();
        }
        config["providers"]["demo"] = provider;
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

        let mut cluster = Cluster {
            api: Api::new(String::new()),
            fronts: Vec::new(),
            apis: Arc::default(),
            proxy: None,
            workers: Vec::new(),
            worker_ports: Vec::new(),
            redis: None,
            nodes: None,
            logs: Logs::default(),
            calls,
            demo,
            builder: self,
            folder,
        };
        let redis = cluster.folder.path().join("redis");
        match cluster.builder.servers {
            Servers::One => cluster.start_redis(),
            Servers::Cluster => {
                let nodes = RedisCluster::start(&redis, &cluster.logs).await;
                cluster.nodes = Some(RedisNodes::Cluster(nodes));
            }
            Servers::Sentinel => {
                let nodes = RedisSentinel::start(&redis, &cluster.logs).await;
                cluster.nodes = Some(RedisNodes::Sentinel(nodes));
            }
        }
        if cluster.builder.proxied {
            cluster.proxy = Some(Proxy::start(cluster.redis_socket()).await);
        }
        for _ in 0..cluster.builder.fronts {
            cluster.add_front();
        }
        for _ in 0..cluster.builder.workers {
            cluster.add_worker();
        }
        let api = cluster.api.clone();
        eventually("the API is ready", PATIENCE, async || {
            (api.get("/readyz").await.status == 200).then_some(())
        })
        .await;
        cluster
    }
}

impl Cluster {
    /// A cluster to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One API process and one worker.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts Redis, with what it had before.
    pub fn start_redis(&mut self) {
        let folder = self.folder.path().join("redis");
        let redis =
            RedisServer::start(redis_binary(), &folder, None, &self.builder.redis_options, self.logs.keep());
        self.redis = Some(redis.unwrap());
    }

    /// `REDIS_URL` of its processes.
    pub fn redis_url(&self) -> String {
        if let Some(nodes) = &self.nodes {
            return nodes.url();
        }
        self.proxy
            .as_ref()
            .map_or_else(|| self.direct_redis_url(), |proxy| format!("redis://{}", proxy.address))
    }

    /// The same past the proxy, should there be one.
    pub fn direct_redis_url(&self) -> String {
        format!("unix://{}", self.redis_socket().display())
    }

    fn redis_socket(&self) -> PathBuf {
        std::fs::canonicalize(self.folder.path()).unwrap().join("redis/redis.sock")
    }

    /// The proxy in front of Redis.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a cluster that was built with proxied()")
    }

    /// The path of its config.json.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// Starts Redis, and does not wait until it has loaded its data.
    pub fn start_redis_without_waiting(&mut self) {
        let folder = self.folder.path().join("redis");
        let redis =
            RedisServer::spawn(redis_binary(), &folder, None, &self.builder.redis_options, self.logs.keep());
        self.redis = Some(redis.unwrap());
    }

    /// Starts one of our programs with this cluster's settings, and more of them.
    pub fn spawn(&self, program: &str, more: &[(&str, &str)]) -> (Process, Logs) {
        let logs = Logs::default();
        let (mut own, mut all) = (logs.keep(), self.logs.keep());
        let log = move |line: &str| {
            own(line);
            all(line);
        };
        let (url, config) = (self.redis_url(), self.config_path().display().to_string());
        let mut environment: Vec<(&str, &str)> = vec![("REDIS_URL", &url), ("HERMOD_CONFIG", &config)];
        environment.extend(self.builder.environment.iter().map(|(name, value)| (*name, value.as_str())));
        environment.extend(more);
        let none: [&str; 0] = [];
        let process = Process::spawn(program, &binary(program), none, &environment, log).unwrap();
        (process, logs)
    }

    /// Sets an environment variable of the processes that start from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.builder.environment.insert(name, value.to_owned());
    }

    /// Starts one more API process; [`Cluster::api`] is the first.
    pub fn add_front(&mut self) -> Api {
        let (mut process, logs) = self.spawn("hermod-api", &[]);
        let api = Api::new(format!("http://{}", logs.address("listening", &mut process)));
        if self.fronts.is_empty() {
            self.api = api.clone();
        }
        self.fronts.push(process);
        self.apis.write().unwrap().push(api.clone());
        api
    }

    /// Kills an API process.
    pub fn kill_front(&mut self, index: usize) {
        drop(self.fronts.remove(index));
        self.apis.write().unwrap().remove(index);
    }

    /// Takes a worker out of the cluster; dropped, it is killed.
    pub fn take_worker(&mut self, index: usize) -> Process {
        self.worker_ports.remove(index);
        self.workers.remove(index)
    }

    /// Starts one more worker.
    pub fn add_worker(&mut self) {
        let (mut process, logs) = self.spawn("hermod-worker", &[]);
        let port = Api::new(format!("http://{}", logs.address("working", &mut process)));
        self.workers.push(process);
        self.worker_ports.push(port);
    }

    /// The calls that the provider has received.
    pub fn calls(&self) -> Vec<ReceivedCall> {
        self.calls.all()
    }

    /// How many calls named this model.
    pub fn calls_of(&self, model: &str) -> usize {
        self.calls().iter().filter(|call| call.model == model).count()
    }

    /// Waits until the provider has received so many calls for this model.
    pub async fn called(&self, model: &str, calls: usize) {
        eventually(&format!("{calls} calls of {model}"), PATIENCE, async || {
            (self.calls_of(model) >= calls).then_some(())
        })
        .await;
    }

    /// Polls until the job has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.api.ended(id, PATIENCE).await
    }

    /// Submits and waits for the end.
    pub async fn run(&self, body: Value) -> Value {
        let id = self.api.submit(body).await;
        self.ended(&id).await
    }

    /// A connection to its Redis.
    pub fn connect(&self) -> Connection {
        redis::Client::open(self.direct_redis_url()).unwrap().get_connection().unwrap()
    }

    /// A connection to each server that holds shards.
    pub fn connections(&self) -> Vec<Connection> {
        self.nodes.as_ref().map_or_else(|| vec![self.connect()], RedisNodes::connections)
    }

    /// Its Redis Cluster.
    pub fn redis_cluster(&mut self) -> &mut RedisCluster {
        match &mut self.nodes {
            Some(RedisNodes::Cluster(cluster)) => cluster,
            _ => panic!("built without servers(Servers::Cluster)"),
        }
    }

    /// Its primary, replica and Sentinel.
    pub fn redis_sentinel(&mut self) -> &mut RedisSentinel {
        match &mut self.nodes {
            Some(RedisNodes::Sentinel(sentinel)) => sentinel,
            _ => panic!("built without servers(Servers::Sentinel)"),
        }
    }

    /// The value of a metric of the worker at `index`, all labels summed.
    pub async fn worker_metric(&self, index: usize, name: &str) -> f64 {
        let text = self.worker_ports[index].get("/metrics").await.text;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Stops the provider: what calls it is refused.
    pub async fn stop_provider(&self) {
        self.demo.stop(false).await;
    }
}
