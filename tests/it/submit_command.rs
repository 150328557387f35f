//! `hermod submit` and `hermod get`, for every endpoint.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hermod_tests::{Cluster, binary};
use serde_json::Value;

/// Runs `hermod` with `input` on its standard input.
pub(crate) async fn hermod(url: &str, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary("hermod"));
    command.args(args).env("HERMOD_URL", url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

/// What it prints when all is well, less the last line's end.
pub(crate) async fn says(cluster: &Cluster, args: &[&str]) -> String {
    let output = hermod(&cluster.api.url, args, "").await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
}

/// What it says is wrong.
pub(crate) async fn complains(url: &str, args: &[&str]) -> String {
    let output = hermod(url, args, "").await;
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap().trim().to_owned()
}

fn file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn each_endpoint_is_submitted_by_its_word_and_by_its_path() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let talk = file(folder.path(), "talk.mp3", &[7; 100_000]);
    let model = ["-m", "demo/echo", "--wait"];
    for (words, options, printed) in [
        (vec!["Hello, you"], vec![], "Hello, you"),
        (vec!["completion", "Hello"], vec![], "Hello"),
        (vec!["chat", "Hello"], vec!["--system", "Be short"], "Hello"),
        (vec!["chat/completions", "Hello"], vec!["--field", "n=2"], "Hello\nHello"),
        (vec!["responses", "Hello"], vec!["--max-tokens", "9"], "Hello"),
        (vec!["audio/transcriptions"], vec!["--file", &talk], "a recording of 100000 bytes named talk.mp3"),
        (
            vec!["rerank", "red apple"],
            vec!["--document", "a pear", "--document", "an apple"],
            "1\t0.5\n0\t0.0",
        ),
        (vec!["ocr", "https://x.example/a.pdf"], vec![], "# a.pdf\n\nThis is the document a.pdf."),
    ] {
        let args: Vec<_> = ["submit"].into_iter().chain(model).chain(options).chain(words).collect();
        assert_eq!(says(&cluster, &args).await, printed, "{args:?}");
    }
    let vector = says(&cluster, &["submit", "-m", "demo/echo", "-w", "embeddings", "x"]).await;
    assert_eq!(serde_json::from_str::<Vec<f32>>(&vector).unwrap().len(), 8);

    let tools = r#"tools=[{"type":"function","function":{"name":"weather"}}]"#;
    let called =
        says(&cluster, &["submit", "chat", "-m", "demo/echo", "-w", "--field", tools, "call it"]).await;
    let called: Value = serde_json::from_str(&called).unwrap();
    assert_eq!(called["function"]["name"], "weather");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn media_are_saved_once_they_are_whole() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hello.mp3");
    let to = path.display().to_string();
    let speech = ["submit", "speech", "-m", "demo/bytes-3000000", "--voice", "alloy", "Hello"];
    let said = says(&cluster, &[&speech[..], &["--wait", "--output", &to]].concat()).await;
    assert_eq!(said, format!("{to}: 3000000 bytes"));
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 3_000_000]);

    let hint = says(&cluster, &[&speech[..], &["--wait"]].concat()).await;
    let get: Vec<_> = hint.strip_prefix("save the audio: hermod ").unwrap().split(' ').collect();
    assert_eq!(get[..2], ["get", "speech"]);
    says(&cluster, &["get", "speech", get[2], "--output", &to]).await;

    let id = says(&cluster, &["submit", "images", "-m", "demo/echo", "--field", "n=2", "a cat"]).await;
    let hints = says(&cluster, &["get", "--wait", &id]).await;
    assert!(
        hints.ends_with(&format!("save the image: hermod get images {id} --output FILE --index 1")),
        "{hints}"
    );
    let mut images = Vec::new();
    for index in ["0", "1"] {
        says(&cluster, &["get", &id, "--output", &to, "--index", index]).await;
        images.push(std::fs::read(&path).unwrap());
    }
    assert!(images[0].starts_with(b"\x89PNG") && images[1].starts_with(b"\x89PNG") && images[0] != images[1]);

    // The first is saved, and the other is not forgotten.
    let both = ["submit", "images", "-m", "demo/echo", "--field", "n=2", "--wait", "-o", &to, "a cat"];
    let said = says(&cluster, &both).await;
    let (saved, other) = said.split_once('\n').unwrap();
    assert!(saved.starts_with(&format!("{to}: ")) && other.ends_with("--output FILE --index 1"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), images[0]);
    says(&cluster, &["get", &id, "--output", &to, "--index", "1"]).await;

    let text = says(&cluster, &["submit", "chat", "-m", "demo/echo", "Hello"]).await;
    says(&cluster, &["get", "--wait", &text]).await;
    let error = complains(&cluster.api.url, &["get", &text, "--output", &to]).await;
    assert!(error.starts_with("error: 422"), "{error}");
    let waits =
        says(&cluster, &["submit", "speech", "-m", "demo/slow-3s", "--voice", "alloy", "Hello"]).await;
    let error = complains(&cluster.api.url, &["get", &waits, "--output", &to]).await;
    assert_eq!(error, "error: 409 Conflict: job is not completed");
    assert_eq!(std::fs::read(&path).unwrap(), images[1], "what is there stays");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn files_reach_the_provider_as_they_are() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (file(folder.path(), "a b.png", b"one"), file(folder.path(), "two.jpg", &[9; 300_000]));
    let mask = file(folder.path(), "mask.png", b"mask");
    let args = ["--file", &one, "--file", &two, "--mask", &mask, "--field", "size=1x1", "--wait", "red"];
    let args: Vec<_> = ["submit", "edits", "-m", "demo/echo"].into_iter().chain(args).collect();
    says(&cluster, &args).await;
    let parts = cluster.calls()[0].parts().await.unwrap();
    let files: Vec<_> = parts
        .iter()
        .filter_map(|part| {
            Some((part.name.as_str(), part.filename.as_deref()?, part.content_type.as_deref()?))
        })
        .collect();
    assert_eq!(
        files,
        [
            ("image[]", "a b.png", "image/png"),
            ("image[]", "two.jpg", "image/jpeg"),
            ("mask", "mask.png", "image/png")
        ]
    );
    let content = |name: &str| &parts.iter().rfind(|part| part.name == name).unwrap().content;
    assert_eq!(content("image[]").as_ref(), vec![9; 300_000]);
    assert_eq!((content("prompt").as_ref(), content("size").as_ref()), (&b"red"[..], &b"1x1"[..]));
}

#[tokio::test]
async fn a_whole_body_is_read_from_standard_input() {
    let cluster = Cluster::start().await;
    let body =
        r#"{"messages":[{"role":"user","content":"Hello"}],"model":"nope/x","top_p":1.10,"z":{"b":1,"a":2}}"#;
    let args = ["submit", "chat", "--json", "-", "-m", "demo/echo", "--wait"];
    let output = hermod(&cluster.api.url, &args, body).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Hello\n", "{:?}", output.stderr);
    let sent = &cluster.calls()[0].body;
    assert!(sent.contains(r#""top_p":1.10"#) && sent.contains(r#""z":{"b":1,"a":2}"#), "{sent}");
}

#[tokio::test]
async fn a_job_is_found_without_its_endpoint_and_only_under_its_own() {
    let cluster = Cluster::start().await;
    let args = ["submit", "ocr", "-m", "demo/fail-503", "--fallback", "demo/echo", "https://x.example/a.pdf"];
    let id = says(&cluster, &args).await;
    let text = says(&cluster, &["get", "--wait", &id]).await;
    assert_eq!(says(&cluster, &["get", "ocr", "--wait", &id]).await, text);
    assert!(says(&cluster, &["get", "--attempts", &id]).await.contains("demo/fail-503"));
    let job: Value = serde_json::from_str(&says(&cluster, &["get", &id]).await).unwrap();
    assert_eq!(job["result"]["extra_fields"]["request_type"], "ocr");
    let elsewhere = complains(&cluster.api.url, &["get", "chat", &id]).await;
    assert!(elsewhere.starts_with("error: 404 Not Found: "), "{elsewhere}");
}

#[tokio::test]
async fn a_job_is_printed_as_it_came() {
    let cluster = Cluster::start().await;
    let id = says(&cluster, &["submit", "chat", "-m", "demo/echo", "a  {[\"b\"]}, c"]).await;
    says(&cluster, &["get", "--wait", &id]).await;
    let url = format!("{}/v1/async/chat/completions/{id}", cluster.api.url);
    let came = reqwest::get(url).await.unwrap().text().await.unwrap();
    let printed = says(&cluster, &["get", &id]).await;
    let without_blanks = |text: &str| text.chars().filter(|blank| !blank.is_whitespace()).collect::<String>();
    assert_eq!(without_blanks(&printed), without_blanks(&came));
    assert!(printed.starts_with("{\n  \"id\": \""), "{printed}");
}

#[tokio::test]
async fn a_job_that_fails_while_it_is_waited_for_is_named() {
    let cluster = Cluster::start().await;
    let error = complains(&cluster.api.url, &["submit", "chat", "-m", "demo/fail-400", "-w", "Hello"]).await;
    let (job, said) = error.strip_prefix("error: job ").unwrap().split_once(": ").unwrap();
    assert_eq!(said, "the job failed with 400: the model fail-400 fails");
    assert!(says(&cluster, &["get", "--attempts", job]).await.contains("demo/fail-400"));
}

#[tokio::test]
async fn what_cannot_be_submitted_is_said_before_anything_is_sent() {
    for (args, said) in [
        (vec!["transcriptions", "-m", "a/b"], "transcriptions needs --file"),
        (vec!["edits", "-m", "a/b", "red"], "edits needs --file"),
        (vec!["audio/speech", "-m", "a/b", "Hello"], "speech needs --voice, such as alloy at OpenAI"),
        (vec!["chta", "-m", "a/b", "Hello"], "no endpoint is called chta; did you mean chat?"),
        (vec!["chat", "-m", "a/b"], "chat needs a text: hermod submit chat --model MODEL TEXT"),
        (vec!["chat", "-m", "a/b", "-w", "-o", "x", "Hello"], "--output: chat answers with nothing to save"),
        (vec!["Hello"], "--model is missing: provider/model"),
        (
            vec!["ocr", "-m", "a/b", "talk.pdf"],
            "ocr takes a URL, and talk.pdf is none; a file is sent with --file",
        ),
        (
            vec!["chat", "-m", "a/b", "--url", "localhost:8080", "Hello"],
            "--url: expected an address that begins with http:// or https://",
        ),
        (
            vec!["images", "-m", "a/b", "-w", "-o", "/nowhere/a.png", "a cat"],
            "--output: there is no folder /nowhere",
        ),
        (vec!["images", "-m", "a/b", "-w", "-o", "/tmp", "a cat"], "--output: /tmp is a folder"),
    ] {
        let args: Vec<_> = ["submit"].into_iter().chain(args).collect();
        assert_eq!(complains("http://127.0.0.1:9", &args).await, format!("error: {said}"));
    }
}
