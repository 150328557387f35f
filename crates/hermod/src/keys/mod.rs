//! `hermod keys`: virtual keys, who may use what and how much of it.

mod create;
mod key;
mod list;
mod quota;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::administration::{Administration, Login};

/// Below which its routes are.
const BASE: &str = "/api/governance/virtual-keys";

/// `hermod keys`
#[derive(Args, Clone, Debug)]
#[command(after_help = "A key is called by its id, or by its name where no other key has that.\n\n\
    hermod keys create research --provider demo --budget 10/1M --requests 100/1m\n\
    hermod keys list\n\
    hermod keys quota --virtual-key sk-bf-…\n\
    hermod keys disable research")]
pub struct Keys {
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
    /// Print the keys, a line each
    List(list::List),
    /// Print a key as JSON, with its value where the API can tell it
    Show(key::Named),
    /// Make a key, and print its value
    Create(Box<create::Create>),
    /// Give a key another value, and print it
    Rotate(key::Named),
    /// Have a key's jobs refused, waiting ones too; running ones finish
    Disable(key::Named),
    /// Let a key be used again
    Enable(key::Named),
    /// Print what a key has left; the key itself asks, no administrator
    Quota(quota::Quota),
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// If the API does not answer, does not let this user administer, or refuses what was asked for.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { login, json, command } = self;
        let administration: Administration = login.administration(BASE)?;
        match command {
            Command::List(list) => list.run(&administration, json).await,
            Command::Show(named) => named.show(&administration).await,
            Command::Create(create) => create.run(&administration, json).await,
            Command::Rotate(named) => named.rotate(&administration, json).await,
            Command::Disable(named) => named.set_active(false, &administration, json).await,
            Command::Enable(named) => named.set_active(true, &administration, json).await,
            Command::Quota(quota) => quota.run(&administration, json).await,
        }
    }
}
