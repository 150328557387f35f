use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use actix_web::dev::ServerHandle;
use hermod::demo::{Calls, ReceivedCall};
use hermod::process::Process;
use hermod::redis_server::RedisServer;
use redis::{Commands, Connection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::builder::{Builder, WORKER_HEADER};
use crate::redis_nodes::{RedisCluster, RedisNodes, RedisSentinel, answers};
use crate::{Api, Logs, PATIENCE, Proxy, binary, eventually, redis_binary};

/// A whole Hermod: Redis, API processes, workers, and a provider that keeps its calls.
#[derive(Debug)]
pub struct Cluster {
    /// The first API process.
    pub api: Api,
    /// The API processes.
    pub api_processes: Vec<Process>,
    /// Where they are, in the same order.
    pub apis: Arc<RwLock<Vec<Api>>>,
    /// Their links to Redis; none unless built with [`Builder::proxied`].
    pub api_links: Vec<Proxy>,
    /// The workers.
    pub workers: Vec<Process>,
    /// Each worker's own port, as a place to ask.
    pub worker_ports: Vec<Api>,
    /// Their links to Redis; none unless built with [`Builder::proxied`].
    pub worker_links: Vec<Proxy>,
    /// The number of each: that of all workers that were started before it.
    pub worker_numbers: Vec<usize>,
    /// What each worker that was ever started has written.
    pub(crate) worker_logs: Vec<Logs>,
    /// The Redis; none while it is down.
    pub redis: Option<RedisServer>,
    /// Its servers, where it has more than one.
    pub nodes: Option<RedisNodes>,
    /// What all of the processes have written.
    pub logs: Logs,
    pub(crate) calls: Calls,
    pub(crate) demo: ServerHandle,
    pub(crate) builder: Builder,
    pub(crate) folder: TempDir,
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

    /// Starts Redis, with what it had before, and waits until it answers.
    pub async fn start_redis(&mut self) {
        self.start_redis_without_waiting();
        let redis = self.redis.take().unwrap();
        self.redis = Some(answers(redis, &self.redis_url(), &self.logs).await);
    }

    /// The same without waiting until it has loaded its data.
    pub fn start_redis_without_waiting(&mut self) {
        let folder = self.folder.path().join("redis");
        let redis =
            RedisServer::spawn(redis_binary(), &folder, None, &self.builder.redis_options, self.logs.keep());
        self.redis = Some(redis.unwrap());
    }

    /// Kills Redis.
    pub fn kill_redis(&mut self) {
        self.redis = None;
    }

    /// `REDIS_URL` of its processes, past their proxies.
    pub fn redis_url(&self) -> String {
        self.nodes
            .as_ref()
            .map_or_else(|| format!("unix://{}", self.redis_socket().display()), RedisNodes::url)
    }

    fn redis_socket(&self) -> PathBuf {
        std::fs::canonicalize(self.folder.path()).unwrap().join("redis/redis.sock")
    }

    /// The path of its config.json.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// Makes `switch/task` another of the demo provider's models, for the processes that start from now on: see
    /// [`Builder::task`].
    pub fn switch(&self, model: &str) {
        let text = std::fs::read_to_string(self.config_path()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["providers"]["switch"]["keys"][0]["aliases"]["task"] = json!(model);
        std::fs::write(self.config_path(), config.to_string()).unwrap();
    }

    /// Starts a process in this role, `api` or `worker`, with this cluster's settings, and more of them, which overrule.
    pub fn spawn(&self, role: &str, more: &[(&str, &str)]) -> (Process, Logs) {
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
        let process = Process::spawn(role, &binary("hermod"), [role], &environment, log).unwrap();
        (process, logs)
    }

    /// Sets an environment variable of the processes that start from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.builder.environment.insert(name, value.to_owned());
    }

    /// A proxy for one process, if it is to have one, and the `REDIS_URL` that leads through it.
    fn link(&self) -> (Option<Proxy>, String) {
        if !self.builder.proxied {
            return (None, self.redis_url());
        }
        let proxy = Proxy::start(self.redis_socket());
        let url = format!("redis://{}", proxy.address);
        (Some(proxy), url)
    }

    /// Starts one more API process; [`Cluster::api`] is the first.
    pub async fn add_api(&mut self) -> Api {
        let (link, url) = self.link();
        let (mut process, logs) = self.spawn("api", &[("REDIS_URL", &url)]);
        let api = Api::new(format!("http://{}", logs.address("listening", &mut process).await));
        if self.api_processes.is_empty() {
            self.api = api.clone();
        }
        self.api_processes.push(process);
        self.api_links.extend(link);
        self.apis.write().unwrap().push(api.clone());
        api
    }

    /// Kills an API process.
    pub fn kill_api(&mut self, index: usize) {
        drop(self.api_processes.remove(index));
        if self.builder.proxied {
            self.api_links.remove(index);
        }
        self.apis.write().unwrap().remove(index);
    }

    /// Takes a worker out of the cluster; dropped, it is killed.
    pub fn take_worker(&mut self, index: usize) -> Process {
        self.worker_ports.remove(index);
        self.worker_numbers.remove(index);
        if self.builder.proxied {
            self.worker_links.remove(index);
        }
        self.workers.remove(index)
    }

    /// What the worker at `index` has written.
    pub fn log_of_worker(&self, index: usize) -> &Logs {
        &self.worker_logs[self.worker_numbers[index]]
    }

    /// Starts one more worker.
    pub async fn add_worker(&mut self) {
        let number = self.worker_logs.len();
        let (link, url) = self.link();
        let config = self.config_of_worker(number).display().to_string();
        let environment = [("REDIS_URL", url.as_str()), ("HERMOD_CONFIG", &config)];
        let (mut process, logs) = self.spawn("worker", &environment);
        let port = Api::of_worker(format!("http://{}", logs.address("working", &mut process).await));
        self.workers.push(process);
        self.worker_ports.push(port);
        self.worker_links.extend(link);
        self.worker_numbers.push(number);
        self.worker_logs.push(logs);
    }

    /// The configuration of the worker with this number, which has it in its calls if it is to be known by that.
    fn config_of_worker(&self, number: usize) -> PathBuf {
        if !self.builder.numbered {
            return self.config_path();
        }
        let text = std::fs::read_to_string(self.config_path()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        for (_, provider) in config["providers"].as_object_mut().unwrap() {
            provider["network_config"]["extra_headers"][WORKER_HEADER] = json!(number.to_string());
        }
        let path = self.folder.path().join(format!("config-{number}.json"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// The number of the worker that made a call, with [`Builder::numbered_workers`]: the first that was started is 0.
    pub fn worker_of(call: &ReceivedCall) -> usize {
        let header = call.headers.iter().find(|(name, _)| name == WORKER_HEADER);
        header.and_then(|(_, number)| number.parse().ok()).expect("a call of a numbered worker")
    }

    /// Ends all connections between its processes and Redis.
    pub fn cut_links(&self) {
        self.links().for_each(Proxy::cut);
    }

    /// Each process's proxy, with [`Builder::proxied`].
    pub fn links(&self) -> impl Iterator<Item = &Proxy> {
        self.api_links.iter().chain(&self.worker_links)
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
        redis::Client::open(self.redis_url()).unwrap().get_connection().unwrap()
    }

    /// How many jobs of its first shard wait or run.
    pub fn queued(&self) -> u64 {
        let mut redis = self.connect();
        let laned: Option<u64> = redis.get("{hermod:0}:laned").unwrap();
        redis.xlen::<_, u64>("{hermod:0}:queue").unwrap() + laned.unwrap_or_default()
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
