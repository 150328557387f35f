use std::io::Write;
use std::process::ExitCode;

/// What a process exits with; an error is said in one line, and is 1.
pub fn exit_code(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        // Nobody is left to tell that standard error is closed.
        writeln!(std::io::stderr(), "error: {error:#}").ok();
        ExitCode::FAILURE
    })
}
