//! `hermod`: see `hermod --help`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hermod::{client, config, demo, generate, healthcheck, keys, queue, up, usage, webhooks};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asynchronous LLM calls on Redis: `hermod up` starts all of it on this machine.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine: a private Redis, the API, workers, and a demo provider
    Up(up::Up),
    /// Submit a job, and print its id
    Submit(client::Submit),
    /// Print a job, its answer, or save its media
    Get(client::Get),
    /// Cancel jobs, and say what became of each
    Cancel(client::Cancel),
    /// List the jobs of a virtual key
    Jobs(client::Jobs),
    /// Register, test and watch who is told of the ends of jobs
    Webhooks(webhooks::Webhooks),
    /// Make, show and change virtual keys
    Keys(keys::Keys),
    /// Print what was used, by day, virtual key and model
    Usage(usage::Usage),
    /// See and manage the queue: stats, dead letters, pause, resume, check
    Queue(queue::QueueCommand),
    /// Say what a config.json does here, without its secrets
    Config(config::Settings),
    /// Serve an OpenAI-compatible provider whose model names choose its behaviour
    DemoProvider(demo::DemoProvider),
    /// Run an API process: it takes jobs, and tells how they are
    Api(hermod_api::ApiSettings),
    /// Run a worker process: it claims jobs, calls the providers, and writes the results
    ///
    /// Exit codes: 0 all that ran has ended; 3 the grace time ran out, and what still ran was released; 4 a
    /// second signal came, and what still ran was released; 1 it could not run.
    Worker(hermod_worker::WorkerSettings),
    /// Exit with 0 if a process says that it is ready within 3 s, else with 1
    Healthcheck(healthcheck::Healthcheck),
    /// Print the completions for a shell
    ///
    /// For bash, where they count from the next login: hermod completions bash >~/.local/share/bash-completion/completions/hermod
    Completions(generate::Completions),
    /// Print the page for `man`, or write those of all subcommands
    Man(generate::ManPages),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(up) => up.run(),
        Command::Submit(submit) => client::block_on(submit.run()),
        Command::Get(get) => client::block_on(get.run()),
        Command::Cancel(cancel) => client::block_on(cancel.run()),
        Command::Jobs(jobs) => client::block_on(jobs.run()),
        Command::Webhooks(webhooks) => webhooks.run(),
        Command::Keys(keys) => client::block_on(keys.run()),
        Command::Usage(usage) => client::block_on(usage.run()),
        Command::Queue(command) => client::block_on(command.run()),
        Command::Config(settings) => settings.run(),
        Command::DemoProvider(provider) => provider.run().map(|()| ExitCode::SUCCESS),
        Command::Api(settings) => settings.run().map(|()| ExitCode::SUCCESS),
        Command::Worker(settings) => settings.run().map(hermod_worker::Drained::exit_code),
        Command::Healthcheck(check) => client::block_on(check.run()),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(pages) => pages.run(Cli::command()),
    };
    hermod_service::exit_code(outcome)
}
