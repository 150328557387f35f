//! `hermod-worker`: see `hermod-worker --help`.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Hermod's worker: claims jobs, calls the providers, and writes the results.
///
/// Exit codes: 0 all that ran has ended; 3 the grace time ran out, and what still ran was released; 4 a
/// second signal came, and what still ran was released; 1 it could not run.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: hermod_worker::WorkerSettings,
}

fn main() -> ExitCode {
    hermod_service::exit_code(Cli::parse().settings.run().map(hermod_worker::Drained::exit_code))
}
