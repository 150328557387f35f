//! `hermod`: see `hermod --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hermod::{bench, client, demo, queue, up};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asynchronous LLM completions on Redis: `hermod up` starts all of it on this machine.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine: a private Redis, the API, workers, and a demo provider
    Up(up::Settings),
    /// Submit a prompt, and print the job's id
    Submit(client::Submit),
    /// Print a job's result
    Get(client::Get),
    /// See and manage the queue: stats, dead letters, pause, resume, check
    Queue(queue::Settings),
    /// Put load on a service of its own, or a running one, and report what a job costs each process and Redis
    Bench(bench::Settings),
    /// What `bench --reference` compares with
    #[command(hide = true)]
    BenchFloor(bench::Floor),
    /// Serve an OpenAI-compatible provider whose model names choose its behaviour
    DemoProvider(demo::Settings),
    /// Run an API process (the same as `hermod-api`)
    Api(hermod_api::ApiSettings),
    /// Run a worker process (the same as `hermod-worker`)
    Worker(hermod_worker::Settings),
    /// Exit with 0 if a health URL answers 200 within 3 s, else with 1
    Healthcheck(client::Healthcheck),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(settings) => settings.run(),
        Command::Submit(submit) => client::block_on(submit.run()),
        Command::Get(get) => client::block_on(get.run()),
        Command::Queue(settings) => client::block_on(settings.run()),
        Command::Bench(settings) => settings.run(),
        Command::BenchFloor(floor) => floor.run(),
        Command::DemoProvider(settings) => settings.run().map(|()| ExitCode::SUCCESS),
        Command::Api(settings) => settings.run().map(|()| ExitCode::SUCCESS),
        Command::Worker(settings) => settings.run().map(hermod_worker::Drained::exit_code),
        Command::Healthcheck(check) => client::block_on(check.run()),
    };
    hermod_service::exit_code(outcome)
}
