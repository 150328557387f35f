//! What the tests start: a Redis of their own, real API and worker processes on free ports,
//! and a demo provider that keeps its calls. All of it is gone when the test ends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on panics"
)]

mod binaries;
mod builder;
mod cluster;
mod described;
mod drained;
mod event_stream;
mod form;
mod gate;
mod http;
mod limit;
mod logs;
mod lossy;
mod monitor;
mod otlp;
mod ports;
mod proxy;
mod receiver;
mod redis_nodes;
mod wait;

pub use binaries::{binary, redis_binary};
pub use builder::{Builder, Servers};
pub use cluster::Cluster;
pub use described::{assert_valid, description};
pub use event_stream::{EventStream, Said};
pub use form::FormBody;
pub use gate::Gate;
pub use hermod::demo::{ReceivedCall, ReceivedPart};
pub use hermod::pip;
pub use hermod::process::{Process, Signal};
pub use http::{Answer, Api};
pub use logs::Logs;
pub use lossy::LossyLink;
pub use monitor::{Command, Monitor};
pub use otlp::{Mood, ReceivedSpan, TraceReceiver, tree};
pub use proxy::Proxy;
pub use receiver::{Reaction, Received, Receiver, SECRET};
pub use redis_nodes::{RedisCluster, RedisNode, RedisNodes, RedisSentinel};
pub use wait::{PATIENCE, eventually, eventually_ok, exit_of, lasts};

use std::time::Duration;

/// The lease of workers under test: short, so that crash tests are.
pub const LEASE: Duration = Duration::from_secs(2);

/// What a job of a dead worker may take longer than its lease.
pub const RECLAIM: Duration = Duration::from_secs(5);
