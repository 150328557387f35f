//! Python packages: one of them is a Redis server, and a test needs the OpenAI SDK.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Installs wheels into `folder`.
///
/// `requirements` are in pip's form. They name every package with its version and the SHA-256 hashes of its files: pip
/// refuses a file with another hash, and a source package, which would run code here.
///
/// # Errors
/// If pip is missing, or what it said last.
pub fn install(requirements: &str, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // pip takes hashes from a file only.
    let file = folder.join("requirements.txt");
    std::fs::write(&file, requirements)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target"]);
    let output = pip.arg(folder).arg("-r").arg(file).stdin(Stdio::null()).output();
    let output = output.context("python3 cannot be run")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    bail!("python3 -m pip failed: {}", text.trim().lines().last().unwrap_or("without a word"))
}
