//! `hermod-api`: see `hermod-api --help`.

use std::process::ExitCode;

use clap::Parser;

/// Hermod's HTTP server: takes jobs, and tells how they are.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: hermod_api::ApiSettings,
}

fn main() -> ExitCode {
    hermod_service::exit_code(Cli::parse().settings.run().map(|()| ExitCode::SUCCESS))
}
