//! What `hermod completions` and `hermod man` make.

use std::process::Command;

use hermod_tests::binary;

use crate::command_line::{run, text};

/// What an operator's shell may hold while the pages are made.
const SECRETS: [(&str, &str); 3] = [
    ("REDIS_URL", "redis://:hunter2@cache"),
    ("HERMOD_SECRET_KEY", "hunter2"),
    ("BIFROST_SETUP_TOKEN", "hunter2"),
];

#[tokio::test]
async fn each_shell_gets_completions() {
    for (shell, begins) in
        [("bash", "_hermod() {"), ("zsh", "#compdef hermod"), ("fish", "# Print an optspec")]
    {
        let output = run("hermod", &["completions", shell], &SECRETS).await;
        let script = text(&output.stdout);
        assert!(output.status.success() && script.starts_with(begins), "{shell}: {script:.300}");
        for word in ["worker", "healthcheck", "metrics-listen"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("hunter2"), "{shell}");
    }
}

#[tokio::test]
async fn bash_completes_with_what_is_printed() {
    let script = "source <(\"$HERMOD\" completions bash); COMP_WORDS=(hermod wor) COMP_CWORD=1
        _hermod hermod wor hermod; echo \"${COMPREPLY[@]}\"
        COMP_WORDS=(hermod worker --conc) COMP_CWORD=2; _hermod hermod --conc worker; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env("HERMOD", binary("hermod"));
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    assert_eq!(text(&output.stdout), "worker\n--concurrency\n", "{}", text(&output.stderr));
}

#[tokio::test]
async fn each_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1").display().to_string();
    let output = run("hermod", &["man", &pages], &SECRETS).await;
    assert!(output.status.success(), "{output:?}");
    let page = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
    let printed = run("hermod", &["man"], &SECRETS).await;
    assert_eq!(page("hermod.1").trim_end(), text(&printed.stdout).trim_end());
    for (name, words) in [
        ("hermod.1", "hermod\\-worker(1)"),
        ("hermod-api.1", "HERMOD_LISTEN"),
        ("hermod-worker.1", "the grace time ran out"),
        ("hermod-webhooks-listen.1", "whsec_"),
        ("hermod-queue-dead.1", "hermod\\-queue\\-dead\\-"),
    ] {
        assert!(page(name).contains(words), "{name}: {}", page(name));
    }
    for file in std::fs::read_dir(&pages).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.starts_with(".ie") && !text.contains("hunter2"), "{text:.300}");
    }
}

#[tokio::test]
async fn the_program_says_its_version() {
    let output = run("hermod", &["--version"], &[]).await;
    assert_eq!(text(&output.stdout), format!("hermod {}\n", env!("CARGO_PKG_VERSION")));
}
