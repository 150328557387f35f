//! `hermod webhooks`: who is told of the ends of jobs, and what became of it.

mod create;
mod deliveries;
mod endpoint;
mod listen;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::administration::{Administration, Login};
use crate::client::block_on;

/// Below which its routes are.
const BASE: &str = "/api/webhooks";

/// `hermod webhooks`
#[derive(Args, Clone, Debug)]
#[command(after_help = "An endpoint is called by its name or its id.\n\n\
    hermod webhooks create orders http://127.0.0.1:8400/ --allow-private-network\n\
    hermod webhooks listen --secret whsec_…\n\
    hermod submit chat --model demo/echo --webhook orders \"Hello\"\n\
    hermod webhooks deliveries orders")]
pub struct Webhooks {
    #[command(flatten)]
    login: Login,
    /// Print what the API answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Ask(Ask),
    /// Receive deliveries on this machine, verify and print each
    Listen(listen::Listen),
}

/// What the API is asked for.
#[derive(Clone, Debug, Subcommand)]
enum Ask {
    /// Print the endpoints, a line each
    List(endpoint::List),
    /// Register an endpoint, and print its secret, which is never shown again
    Create(create::Create),
    /// Print an endpoint as JSON
    Show(endpoint::Named),
    /// Give an endpoint another secret, and print it
    Rotate(endpoint::Rotate),
    /// Delete endpoints; their history stays
    Delete(endpoint::Delete),
    /// Deliver to an endpoint again that was disabled
    Enable(endpoint::Named),
    /// Deliver nothing more to an endpoint, and refuse jobs that name it
    Disable(endpoint::Named),
    /// Send an endpoint a signed sample now
    Test(endpoint::Test),
    /// Print what became of deliveries, a line an attempt, the newest first
    Deliveries(deliveries::Deliveries),
    /// Send a delivery again, under the same webhook-id
    Redeliver(deliveries::Redeliver),
    /// Send all deliveries again that have failed since a time
    Recover(deliveries::Recover),
}

impl Webhooks {
    /// Runs the command.
    ///
    /// # Errors
    /// If the API does not answer, does not let this user administer, or refuses what was asked for.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Ask(ask) => block_on(ask.run(&self.login.administration(BASE)?, self.json)),
            Command::Listen(listen) => listen.run(self.json),
        }
    }
}

impl Ask {
    async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(administration, json).await,
            Self::Create(create) => create.run(administration, json).await,
            Self::Show(named) => named.show(administration).await,
            Self::Rotate(rotate) => rotate.run(administration, json).await,
            Self::Delete(delete) => delete.run(administration).await,
            Self::Enable(named) => named.enable(administration, json).await,
            Self::Disable(named) => named.disable(administration, json).await,
            Self::Test(test) => test.run(administration, json).await,
            Self::Deliveries(deliveries) => deliveries.run(administration, json).await,
            Self::Redeliver(redeliver) => redeliver.run(administration, json).await,
            Self::Recover(recover) => recover.run(administration, json).await,
        }
    }
}
