//! Python packages: one of them is a Redis server, and a test needs the OpenAI SDK.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Installs a package into `folder`, with what it needs if `whole`. Where pip is missing, as on a bare Debian, root
/// gets it from apt-get first.
///
/// # Errors
/// What pip, or apt-get, said last.
pub fn install(package: &str, folder: &Path, whole: bool) -> anyhow::Result<()> {
    if run(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        apt_install("python3-pip").context("pip is missing")?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    if !whole {
        pip.arg("--no-deps");
    }
    run(pip.arg("--target").arg(folder).arg(package))
}

/// Installs a Debian package.
///
/// # Errors
/// What apt-get said last; without root, that it may not.
pub fn apt_install(package: &str) -> anyhow::Result<()> {
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    // Debian's Redis would otherwise start a server of its own on 6379, which is not ours to start.
    install.env("RUNLEVEL", "1").env("DEBIAN_FRONTEND", "noninteractive");
    run(install.args(["install", "-qq", "-y", "--no-install-recommends", package]))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    bail!("{name} failed: {}", text.lines().last().unwrap_or("without a word"))
}
