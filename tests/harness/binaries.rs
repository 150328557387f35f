use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::limit;

/// The path of one of our programs, built first: cargo builds only what the tests link.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(build);
    // Only now, as a build may take minutes.
    limit::start();
    folder.join(name)
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Tests run in target/<profile>/deps, programs beside it.
    let folder = test.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder }.to_owned();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--workspace", "--bins"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "the programs under test do not build");
    folder
}

/// A Redis server, found or fetched once.
pub fn redis_binary() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    let server = SERVER.get_or_init(|| hermod::redis_server::find(|_| {}).unwrap());
    limit::start();
    server
}
