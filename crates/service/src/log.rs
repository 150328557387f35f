use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is logged, and how. Logs go to standard error.
#[derive(Args, Clone, Debug)]
pub struct LogSettings {
    /// What is logged: a level, or a filter such as `info,hermod_worker=debug`.
    #[arg(long, env = "HERMOD_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// For a person (`pretty`) or a machine (`json`).
    #[arg(long, env = "HERMOD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Pretty,
    /// A JSON object a line.
    Json,
}

impl LogSettings {
    /// Starts logging.
    ///
    /// # Errors
    /// For a filter that is none, or if logging has been started before.
    pub fn init(&self) -> anyhow::Result<()> {
        // actix's own lines on its start, and on each stranger that does not speak HTTP, tell an operator nothing; a
        // filter that names them still shows them.
        let filter = EnvFilter::try_new(format!("actix_server=warn,actix_http=off,{}", self.log))
            .map_err(|error| anyhow::anyhow!("HERMOD_LOG: expected a filter such as info: {error}"))?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let outcome = match self.log_format {
            LogFormat::Pretty => {
                builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
            }
            LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        };
        outcome.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
    }
}
