//! `hermod completions` and `hermod man`: what a shell and `man` know of this program, from the definitions that it parses its
//! arguments with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::client::print;

/// `hermod completions`
#[derive(Args, Clone, Debug)]
pub struct Completions {
    /// The shell that is to complete.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script for `command`.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub fn run(self, mut command: Command) -> anyhow::Result<ExitCode> {
        let (name, mut script) = (command.get_name().to_owned(), Vec::new());
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(String::from_utf8(script)?.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `hermod man`
#[derive(Args, Clone, Debug)]
pub struct ManPages {
    /// Where to write a page for each subcommand, too, such as `/usr/local/share/man/man1`; without it, the first page is printed.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl ManPages {
    /// Prints the page of `command`, or writes all of its pages.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn run(self, command: Command) -> anyhow::Result<ExitCode> {
        match self.folder {
            None => {
                let mut page = Vec::new();
                Man::new(command.disable_help_subcommand(true)).render(&mut page)?;
                print(String::from_utf8(page)?.trim_end())?;
            }
            Some(folder) => {
                std::fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                clap_mangen::generate_to(command, &folder)
                    .with_context(|| format!("cannot write to {}", folder.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
