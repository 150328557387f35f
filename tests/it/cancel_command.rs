//! `hermod cancel`

use std::process::{Command, Output};

use hermod_tests::{Cluster, binary};
use serde_json::json;

use crate::cancel::journal_of_cancelled;

async fn hermod_cancel(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = Command::new(binary("hermod"));
    command.arg("cancel").args(words).env("HERMOD_URL", &cluster.api.url);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn each_job_has_a_line_on_what_became_of_it() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 1).start().await;
    let ended = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    let ended = ended["id"].as_str().unwrap();
    let runs = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    let chat = json!({"model": "demo/echo", "messages": [{"role": "user", "content": "x"}]});
    let chat = cluster.api.submit_to(hermod_types::Operation::ChatCompletion, &chat).await;
    let chat_id = chat.rsplit('/').next().unwrap();
    let waits = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";

    let all = hermod_cancel(&cluster, &[ended, unknown, chat_id, &waits, &runs]).await;
    assert_eq!(all.status.code(), Some(1), "{all:?}");
    let lines = [
        format!("{ended}  not cancelled: job has already ended"),
        format!("{unknown}  not cancelled: no job with this id: it is unknown, or its result has expired"),
        format!("{chat_id}  cancelled"),
        format!("{waits}  cancelled"),
        format!("{runs}  runs, and is being cancelled"),
    ];
    assert_eq!(text(&all.stdout).lines().collect::<Vec<_>>(), lines);
    journal_of_cancelled(&cluster.api.get(&chat).await.json());
    journal_of_cancelled(&cluster.ended(&runs).await);

    // Once more, and where its endpoint is said.
    let again = hermod_cancel(&cluster, &["chat", chat_id]).await;
    assert_eq!(
        (again.status.code(), text(&again.stdout)),
        (Some(0), format!("{chat_id}  cancelled\n").as_str())
    );
    let elsewhere = hermod_cancel(&cluster, &["ocr", chat_id]).await;
    assert!(elsewhere.status.code() == Some(1) && text(&elsewhere.stdout).contains("not cancelled: no job"));
    for (words, said) in [
        (&["chta", chat_id][..], "did you mean chat?"),
        (&[chat_id, "x"], "a job id is a UUID"),
        (&["x"], "a job id is a UUID"),
    ] {
        let wrong = hermod_cancel(&cluster, words).await;
        assert_eq!((wrong.status.code(), text(&wrong.stdout)), (Some(1), ""));
        assert!(text(&wrong.stderr).contains(said), "{wrong:?}");
    }
    cluster.assert_drained().await;
}
