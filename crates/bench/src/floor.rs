//! The least that the same work can cost, as a process of its own: the floor of `--reference`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use bytes::Bytes;
use clap::{Args, Subcommand};
use hermod_types::{JobId, JobView, Shard};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::jobs::Requests;
use crate::measure::ProcessUse;
use crate::provider::completion;
use hermod::client::print;

/// The longest that Redis may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The same as the API's.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// What stands before the body in a record.
const HEADER: &[u8] = b"{\"targets\":[\"bench/echo\"],\"ttl\":3600000}\n";
/// How many records are written in one go.
const CHUNK: usize = 500;

/// `hermod-bench floor`, which `--reference` starts.
#[derive(Args, Clone, Debug)]
pub(crate) struct Floor {
    #[command(subcommand)]
    role: Role,
}

#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// Serve submits with one HSET and XADD, and polls with one HMGET
    Serve {
        #[arg(long)]
        redis_url: String,
        /// Ended records to write first, for polls; their ids count from 0.
        #[arg(long)]
        ended: u64,
        #[arg(long)]
        result_bytes: usize,
    },
    /// Call a provider, and say what it cost
    Call {
        #[arg(long)]
        url: String,
        #[arg(long)]
        calls: u64,
        #[arg(long)]
        concurrency: u64,
        #[arg(long)]
        prompt_bytes: usize,
    },
}

impl Floor {
    /// Serves until a signal, or calls and ends.
    ///
    /// # Errors
    /// What kept it from it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.role {
            Role::Serve { redis_url, ended, result_bytes } => {
                actix_web::rt::System::new().block_on(serve(redis_url, ended, result_bytes))?;
            }
            Role::Call { url, calls, concurrency, prompt_bytes } => {
                // As a worker runs its jobs.
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on(call(url, calls, concurrency, prompt_bytes))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn connect(client: Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

async fn serve(redis_url: String, ended: u64, result_bytes: usize) -> anyhow::Result<()> {
    let client = Client::open(redis_url)?;
    write_ended(connect(client.clone()).await?, ended, result_bytes).await?;
    let app = move || {
        let client = client.clone();
        App::new()
            // One connection for each server thread.
            .data_factory(move || connect(client.clone()))
            .route("/v1/async/completions", web::post().to(submit))
            .route("/v1/async/completions/{id}", web::get().to(poll))
    };
    let server = HttpServer::new(app).keep_alive(KEEP_ALIVE).bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().context("it has no address")?;
    print(&json!({"message": "listening", "address": address}).to_string())?;
    Ok(server.run().await?)
}

/// The id of an ended record: as long as a real one.
pub(crate) fn ended_id(number: u64) -> JobId {
    // Sixteen digits in their place are always an id.
    format!("00000000-0000-7000-8000-{number:012}").parse().unwrap_or_else(|_| JobId::new(Shard::default()))
}

fn key(id: impl std::fmt::Display) -> String {
    format!("{{hermod:0}}:job:{id}")
}

async fn write_ended(
    mut connection: MultiplexedConnection,
    records: u64,
    result_bytes: usize,
) -> RedisResult<()> {
    let outcome = completion(result_bytes);
    let mut numbers = (0..records).peekable();
    while numbers.peek().is_some() {
        let mut pipeline = Pipeline::new();
        for number in numbers.by_ref().take(CHUNK) {
            pipeline.cmd("HSET").arg(key(ended_id(number))).arg("request").arg("").arg("holder").arg(1);
            pipeline.arg("code").arg(200).arg("outcome").arg(&outcome[..]);
            pipeline.arg("completed").arg("1730000000000").arg("expires").arg("1730003600000").ignore();
        }
        pipeline.query_async::<()>(&mut connection).await?;
    }
    Ok(())
}

async fn submit(body: Bytes, redis: web::Data<MultiplexedConnection>) -> HttpResponse {
    let id = JobId::new(Shard::default());
    let text = id.to_string();
    let mut request = Vec::with_capacity(HEADER.len() + body.len());
    request.extend_from_slice(HEADER);
    request.extend_from_slice(&body);
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("XADD").arg("{hermod:0}:queue").arg("*").arg("id").arg(&text).ignore();
    pipeline.cmd("HSET").arg(key(&text)).arg("request").arg(request).ignore();
    match pipeline.query_async::<()>(&mut redis.get_ref().clone()).await {
        Ok(()) => HttpResponse::Accepted().json(JobView::accepted(id)),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

async fn poll(id: web::Path<String>, redis: web::Data<MultiplexedConnection>) -> HttpResponse {
    let mut command = redis::cmd("HMGET");
    command.arg(key(id)).arg(&["owner", "holder", "code", "outcome", "completed", "expires"]);
    type Fields = (Option<String>, Option<String>, Option<u16>, Option<Vec<u8>>, Option<u64>, Option<u64>);
    match command.query_async::<Fields>(&mut redis.get_ref().clone()).await {
        Ok((_, _, _, Some(outcome), _, _)) => {
            HttpResponse::Ok().content_type("application/json").body(outcome)
        }
        Ok(_) => HttpResponse::NotFound().finish(),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

async fn call(url: String, calls: u64, concurrency: u64, prompt_bytes: usize) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().build()?;
    let body = Requests::new("echo", prompt_bytes).body(0);
    let (next, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks = TaskTracker::new();
    let (before, started) = (ProcessUse::of(std::process::id())?, Instant::now());
    for _ in 0..concurrency.min(calls) {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
        tasks.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                let answer = async { request.send().await?.error_for_status()?.bytes().await };
                if answer.await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = ProcessUse::of(std::process::id())?.cpu.saturating_sub(before.cpu);
    let failed = failed.load(Ordering::Relaxed);
    anyhow::ensure!(failed == 0, "{failed} of {calls} calls of the provider failed");
    print(&json!({"message": "called", "seconds": elapsed, "cpu_seconds": cpu.as_secs_f64()}).to_string())?;
    Ok(())
}
