//! What the long-running processes share: settings that both take, logs, metrics, traces, signals, listeners.

mod cached;
mod exit;
mod file_keys;
mod gauges;
mod http;
mod log;
mod metrics;
mod prices;
mod probes;
mod settings;
mod shutdown;
mod trace;
mod watch;

pub use cached::Cached;
pub use exit::exit_code;
pub use file_keys::check_file_keys;
pub use gauges::Gauges;
pub use http::{bind, error_response, method_not_allowed, not_found, read_only};
pub use log::{LogFormat, LogSettings};
pub use metrics::{Metrics, describe};
pub use prices::follow_prices;
pub use probes::{Readiness, probes, public_probes};
pub use settings::{ConfigSettings, RedisSettings, SecretSettings, variable};
pub use shutdown::Shutdown;
pub use trace::{TraceKind, TracePropagation, TraceSettings, TraceSpan, TraceValue, Tracing, instance};
pub use watch::watch_redis;
