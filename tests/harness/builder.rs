use std::collections::HashMap;
use std::net::TcpListener;

use hermod::demo::{Calls, Demo};
use serde_json::{Value, json};

use crate::redis_nodes::{RedisCluster, RedisNodes, RedisSentinel};
use crate::{Api, Cluster, LEASE, Logs, PATIENCE, binary, eventually, redis_binary};

/// The header by which the provider knows the worker that calls it, where [`Builder::numbered_workers`] asks for it.
pub(crate) const WORKER_HEADER: &str = "x-test-worker";

/// Redis hands each write to the kernel before it answers, so that a killed process loses nothing that it has acknowledged. It
/// does not wait for the disk, which tests that run beside each other would keep busy for seconds.
pub(crate) const PERSISTENCE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "no"];

/// A [`Cluster`] to be.
#[derive(Clone, Debug)]
pub struct Builder {
    workers: usize,
    apis: usize,
    config: Value,
    pub(crate) environment: HashMap<&'static str, String>,
    pub(crate) redis_options: Vec<&'static str>,
    pub(crate) proxied: bool,
    pub(crate) numbered: bool,
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
            apis: 1,
            config: json!({}),
            environment: environment.into(),
            redis_options: PERSISTENCE.to_vec(),
            proxied: false,
            numbered: false,
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
    pub fn apis(mut self, apis: usize) -> Self {
        self.apis = apis;
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

    /// Leaves a variable that the harness sets at the program's default.
    #[must_use]
    pub fn unset(mut self, name: &'static str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Puts a [`crate::Proxy`] between each of its processes and Redis.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Lets the provider know which worker calls it: see [`Cluster::worker_of`].
    #[must_use]
    pub fn numbered_workers(mut self) -> Self {
        self.numbered = true;
        self
    }

    /// Adds the model `switch/task`, which is the demo provider's model of this name until [`Cluster::switch`] names another.
    #[must_use]
    pub fn task(mut self, model: &str) -> Self {
        self.config["providers"]["switch"] = json!({
            "keys": [{"name": "one", "value": "key", "aliases": {"task": model}}],
            "custom_provider_config": {"base_provider_type": "openai"},
        });
        self
    }

    /// Starts all of it.
    pub async fn start(self) -> Cluster {
        binary("hermod");
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
            api_processes: Vec::new(),
            apis: std::sync::Arc::default(),
            api_links: Vec::new(),
            workers: Vec::new(),
            worker_ports: Vec::new(),
            worker_links: Vec::new(),
            worker_numbers: Vec::new(),
            worker_logs: Vec::new(),
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
            Servers::One => {
                redis_binary();
                cluster.start_redis().await;
            }
            Servers::Cluster => {
                let nodes = RedisCluster::start(&redis, &cluster.logs).await;
                cluster.nodes = Some(RedisNodes::Cluster(nodes));
            }
            Servers::Sentinel => {
                let nodes = RedisSentinel::start(&redis, &cluster.logs).await;
                cluster.nodes = Some(RedisNodes::Sentinel(nodes));
            }
        }
        for _ in 0..cluster.builder.apis {
            cluster.add_api().await;
        }
        for _ in 0..cluster.builder.workers {
            cluster.add_worker().await;
        }
        let api = cluster.api.clone();
        eventually("the API is ready", PATIENCE, async || {
            (api.get("/readyz").await.status == 200).then_some(())
        })
        .await;
        cluster
    }
}
