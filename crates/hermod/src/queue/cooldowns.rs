use anyhow::bail;
use clap::{Args, Subcommand};
use hermod_queue::{Admin, Cooldown};
use serde::Serialize;

use super::{Form, age};
use crate::table::table;

/// `hermod queue cooldowns`
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Cooldowns {
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// End one: workers try it again within a second or two
    End {
        /// Its name: `<provider>/<model> <name of the key>`.
        #[arg(required = true)]
        name: Vec<String>,
    },
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    seconds_left: f64,
    seconds: f64,
}

impl Cooldowns {
    pub(super) async fn run(self, admin: &Admin) -> anyhow::Result<String> {
        if let Some(Command::End { name }) = self.command {
            let name = name.join(" ");
            if !admin.end_cooldown(&name).await? {
                bail!("nothing called {name} cools down; `hermod queue cooldowns` prints what does");
            }
            return Ok(format!("{name}: tried again within a second or two"));
        }
        let cooldowns = admin.cooldowns().await?;
        let rows: Vec<Row<'_>> = cooldowns.iter().map(Row::of).collect();
        self.form.of(&rows, |_| text(&cooldowns))
    }
}

impl<'a> Row<'a> {
    fn of(cooldown: &'a Cooldown) -> Self {
        Self {
            name: &cooldown.name,
            seconds_left: cooldown.left.as_secs_f64(),
            seconds: cooldown.length.as_secs_f64(),
        }
    }
}

fn text(cooldowns: &[Cooldown]) -> String {
    if cooldowns.is_empty() {
        return "nothing cools down".to_owned();
    }
    let mut rows = table(["TARGET AND KEY", "LEFT", "OF"]);
    for cooldown in cooldowns {
        let left = if cooldown.left.is_zero() { "next call tries it".to_owned() } else { age(cooldown.left) };
        rows.add_row([cooldown.name.clone(), left, age(cooldown.length)]);
    }
    rows.trim_fmt()
}
