//! Forms while they arrive: what is kept of them, what is refused, and what is left when they come to nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hermod_tests::{Api, Cluster, FormBody, PATIENCE, eventually, lasts};
use hermod_types::Operation;
use redis::Commands;
use serde_json::json;

const MIB: usize = 1 << 20;

/// Bytes that differ from place to place.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0_u64..).flat_map(u64::to_le_bytes).take(bytes).collect()
}

/// A transcription of so many bytes.
pub(crate) fn recording(model: &str, bytes: usize) -> FormBody {
    FormBody::new().file("file", "talk.mp3", "audio/mpeg", &pattern(bytes)).field("model", model)
}

/// Everything in Redis that is of an upload.
fn traces(cluster: &Cluster) -> Vec<String> {
    let keys: Vec<String> = cluster.connect().keys("*").unwrap();
    keys.into_iter()
        .filter(|key| [":staged:", ":media:", ":body:", ":job:"].iter().any(|part| key.contains(part)))
        .collect()
}

pub(crate) async fn leaves_nothing(cluster: &Cluster) {
    eventually("what was uploaded is gone", PATIENCE, async || traces(cluster).is_empty().then_some(()))
        .await;
}

/// A connection on which the head of an upload has been sent, and then `sent`.
pub(crate) fn begin(api: &Api, length: usize, more: &str, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(api.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(70))).unwrap();
    let head = format!(
        "POST /v1/async/audio/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ncontent-length: {length}\r\n{more}\r\n",
        FormBody::CONTENT_TYPE
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

/// All that comes until the connection ends.
pub(crate) async fn answer(mut stream: TcpStream) -> String {
    let read = move || {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn parts_keep_their_order_and_are_files_where_they_must_be() {
    let cluster = Cluster::start().await;
    let (long, file) = ("y".repeat((64 << 10) + 1), pattern(3 * MIB + 77));
    let form = FormBody::new()
        .field("long", &long)
        .field("just", long.get(1..).unwrap())
        .file("file", "a%22b.mp3", "audio/mpeg", &file)
        .part("content-disposition: form-data; name=\"binary\"", b"\xff\xfe")
        .file("file", "", "application/octet-stream", b"")
        .field("empty", "")
        .field("model", "demo/echo")
        .file("file", "second.mp3", "audio/mpeg", b"second");
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
    assert_eq!(cluster.api.ended_at(&path).await["status"], "completed");
    let mut parts = cluster.calls()[0].parts().await.unwrap();
    parts.retain(|part| part.name != "model");
    let shown: Vec<_> = parts
        .iter()
        .map(|part| (part.name.as_str(), part.filename.as_deref(), part.content.as_ref()))
        .collect();
    let (long, just) = (long.as_bytes(), long.get(1..).unwrap().as_bytes());
    assert_eq!(
        shown,
        [
            ("long", None, long),
            ("just", None, just),
            ("file", Some("a%22b.mp3"), &file[..]),
            ("binary", None, b"\xff\xfe"),
            ("file", Some(""), b""),
            ("empty", None, b""),
            ("file", Some("second.mp3"), b"second"),
        ]
    );
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_is_no_form_is_refused_and_leaves_nothing() {
    let cluster = Cluster::builder().workers(0).start().await;
    let api = &cluster.api;
    let submission = || api.submission_to(Operation::Transcription);
    let broken = |message: &str| message.starts_with("failed to parse multipart form: ");
    let headers = format!("content-disposition: form-data; name=\"x\"\r\nx-mine: {}", "h".repeat(1 << 20));
    let name = format!("content-disposition: form-data; name=\"{}\"", "n".repeat(1025));
    let whole = recording("demo/echo", MIB);
    for (what, content_type, body) in [
        ("JSON", "application/json", json!({"model": "demo/echo", "file": "x"}).to_string().into_bytes()),
        ("no media type", "", whole.clone().finish()),
        ("no boundary", "multipart/form-data", whole.clone().finish()),
        ("another boundary", "multipart/form-data; boundary=other", whole.clone().finish()),
        ("no end", FormBody::CONTENT_TYPE, whole.clone().unfinished()),
        ("nothing", FormBody::CONTENT_TYPE, Vec::new()),
        ("headers without an end", FormBody::CONTENT_TYPE, whole.clone().part(&headers, b"x").finish()),
        ("a long name", FormBody::CONTENT_TYPE, whole.clone().part(&name, b"x").finish()),
        (
            "no name",
            FormBody::CONTENT_TYPE,
            whole.clone().part("content-disposition: form-data", b"x").finish(),
        ),
        ("no headers", FormBody::CONTENT_TYPE, whole.clone().part("", b"x").finish()),
        ("garbage", FormBody::CONTENT_TYPE, whole.clone().part("\0\0 no header", b"x").finish()),
    ] {
        let answer = api.send(submission().header("content-type", content_type).body(body)).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        let message = answer.error(400);
        assert!(broken(&message), "{what}: {message}");
    }
    for operation in [Operation::ChatCompletion, Operation::TextCompletion, Operation::Ocr] {
        let message = api.send(api.form_to(operation, whole.clone())).await.error(400);
        assert_eq!(message, "failed to parse multipart form: this endpoint takes JSON");
    }
    let many = (0..1100).fold(whole.clone(), |form, _| form.field("x", "y"));
    let message = api.send(api.form_to(Operation::Transcription, many)).await.error(400);
    assert_eq!(message, "invalid request format: more than 1024 parts");
    // Errors that are found once all of it is there.
    for form in [recording("nope/x", MIB), recording("echo", MIB), whole.field("stream", "true")] {
        api.send(api.form_to(Operation::Transcription, form)).await.error(400);
    }
    leaves_nothing(&cluster).await;
}

#[tokio::test]
async fn each_limit_is_named_by_the_413_that_it_makes() {
    let cluster = Cluster::builder()
        .workers(0)
        .set("HERMOD_MAX_BODY_BYTES", 1000)
        .set("HERMOD_MAX_UPLOAD_BYTES", 300_000)
        .start()
        .await;
    let api = &cluster.api;
    for operation in Operation::all().filter(|operation| operation.is_public()) {
        let (bytes, limit) = if operation.carries_media() {
            (300_001, "300000 bytes (HERMOD_MAX_UPLOAD_BYTES)")
        } else {
            (1001, "1000 bytes (HERMOD_MAX_BODY_BYTES)")
        };
        // Announced, and found out while it comes.
        let submission = || api.submission_to(operation).header("content-type", FormBody::CONTENT_TYPE);
        let mut submission = [submission(), submission()];
        if operation.form() == hermod_types::BodyForm::Json {
            submission = [api.submission_to(operation), api.submission_to(operation)];
        }
        let [announced, chunked] = submission;
        let body = recording("demo/echo", bytes).finish();
        let chunks: Vec<_> = body.chunks(500).map(|part| std::io::Result::Ok(part.to_vec())).collect();
        let chunks = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        for submission in [announced.body(body), chunked.body(chunks)] {
            let refused = api.send(submission).await;
            assert!(refused.error(413).contains(limit), "{operation}: {refused:?}");
            assert_eq!(refused.header("connection"), "close");
        }
    }
    let fits = recording("demo/echo", 299_000);
    assert_eq!(api.send(api.form_to(Operation::Transcription, fits)).await.status, 202);
    let mut waiting = begin(api, 300_001, "expect: 100-continue\r\n", b"");
    waiting.shutdown(std::net::Shutdown::Write).unwrap();
    let refused = answer(waiting.try_clone().unwrap()).await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains("HERMOD_MAX_UPLOAD_BYTES"), "{refused}");
    assert!(refused.contains(r#""request_type":"transcription""#), "{refused}");
    waiting = begin(api, 299_500, "expect: 100-continue\r\n", b"");
    let mut go_on = [0; 12];
    waiting.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
}

#[tokio::test]
async fn who_may_not_upload_is_told_before_the_body_comes() {
    let config = json!({"client": {"enforce_auth_on_inference": true}, "governance": {"virtual_keys": [
        {"id": "vk-1", "name": "team", "value": "sk-bf-team", "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
    ]}});
    let cluster = Cluster::builder().config(config).set("HERMOD_QUEUE_LIMIT", 1).workers(0).start().await;
    let refused = answer(begin(&cluster.api, MIB, "", b"")).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let key = "x-bf-vk: sk-bf-team\r\n";
    let form = recording("demo/echo", 10);
    let submission = || cluster.api.form_to(Operation::Transcription, form.clone());
    let with_key = || submission().header("x-bf-vk", "sk-bf-team");
    cluster.api.accepted(with_key()).await;
    assert_eq!(cluster.api.send(with_key()).await.status, 429);
    // Known to be full, so nothing of the next one is read.
    let refused = answer(begin(&cluster.api, MIB, key, b"")).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("queue_full"), "{refused}");
    eventually("what was refused is gone", PATIENCE, async || {
        traces(&cluster).iter().all(|key| !key.contains(":staged:")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_stalls_or_breaks_off_leaves_nothing() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let part = recording("demo/echo", 2 * MIB).unfinished();
    let staged = async |cluster: &Cluster, pieces: usize| {
        eventually("pieces are in Redis", PATIENCE, async || {
            let mut redis = cluster.connect();
            let keys: Vec<String> = redis.keys("*:staged:*").unwrap();
            let found = keys.first().map_or(0, |key| redis.hlen::<_, usize>(key).unwrap());
            (found >= pieces).then_some(keys)
        })
        .await
    };
    let gone = begin(&cluster.api, 10 * MIB, "", &part);
    staged(&cluster, 7).await;
    drop(gone);
    leaves_nothing(&cluster).await;

    let begun = Instant::now();
    let stalled = begin(&cluster.api, 10 * MIB, "", &part);
    staged(&cluster, 7).await;
    let refused = answer(stalled).await;
    assert!(refused.starts_with("HTTP/1.1 408") && refused.contains("request_timeout"), "{refused}");
    assert!((25..45).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    leaves_nothing(&cluster).await;

    // The API dies: nobody is there to remove it, so it must expire.
    let orphaned = begin(&cluster.api, 10 * MIB, "", &part);
    let keys = staged(&cluster, 7).await;
    cluster.kill_api(0);
    drop(orphaned);
    let mut redis = cluster.connect();
    assert_eq!(traces(&cluster), keys, "nothing but what was staged");
    assert!((1..=600).contains(&redis.ttl::<_, i64>(&keys[0]).unwrap()));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn small_jobs_are_not_held_up_by_an_upload_of_50_mb() {
    let cluster = Cluster::start().await;
    let upload = async {
        let form = recording("demo/echo", 50_000_000);
        let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
        cluster.api.ended_at(&path).await
    };
    let small = async {
        let mut slowest = Duration::ZERO;
        for number in 0..40 {
            let begun = Instant::now();
            let job = cluster.run(json!({"model": "demo/echo", "prompt": format!("{number}")})).await;
            assert_eq!(job["status"], "completed");
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };
    let (large, slowest) = tokio::join!(upload, small);
    assert_eq!(large["result"]["text"], "a recording of 50000000 bytes named talk.mp3", "{large}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let call = cluster.calls().into_iter().find(|call| call.path.ends_with("transcriptions")).unwrap();
    let parts = call.parts().await.unwrap();
    let file = parts.iter().find(|part| part.name == "file").unwrap();
    assert!(file.content == pattern(50_000_000), "byte for byte");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_upload_outlives_redis_and_its_workers() {
    let mut cluster = Cluster::builder().workers(0).task("hang").start().await;
    let form = recording("switch/task", 3 * MIB);
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
    cluster.kill_redis();
    cluster.start_redis().await;

    cluster.add_worker().await;
    cluster.called("hang", 1).await;
    cluster.switch("echo");
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    let job = cluster.api.ended_at(&path).await;
    assert_eq!(job["result"]["text"], format!("a recording of {} bytes named talk.mp3", 3 * MIB), "{job}");
    assert_eq!(cluster.calls().len(), 2);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn slow_uploads_take_a_piece_each_and_not_their_size() {
    let cluster = Cluster::builder()
        .workers(0)
        .set("HERMOD_MAX_UPLOAD_BYTES", 20 * MIB)
        // Room for what is large: 20 MiB, the largest body.
        .set("HERMOD_MAX_MEMORY_BYTES", 8 * MIB)
        .start()
        .await;
    let part = recording("demo/echo", 2 * MIB).unfinished();
    let uploads: Vec<_> = (0..30).map(|_| begin(&cluster.api, 20 * MIB, "", &part)).collect();
    eventually("all of it is in Redis", PATIENCE, async || {
        let mut redis = cluster.connect();
        let keys: Vec<String> = redis.keys("*:staged:*").unwrap();
        (keys.len() == 30 && keys.iter().all(|key| redis.hlen::<_, usize>(key).unwrap() >= 7)).then_some(())
    })
    .await;
    // 60 MiB have come, and there is room for another.
    lasts(Duration::from_millis(100)).await;
    let form = recording("demo/echo", 2 * MIB);
    assert_eq!(cluster.api.send(cluster.api.form_to(Operation::Transcription, form)).await.status, 202);
    drop(uploads);
}

#[tokio::test]
async fn json_that_carries_media_may_be_as_large_as_an_upload() {
    let cluster = Cluster::builder().set("HERMOD_MAX_MEMORY_BYTES", 8 * MIB).start().await;
    let url = format!("data:image/png;base64,{}", "QUJD".repeat(10 * MIB));
    let content =
        json!([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]);
    let body = json!({"model": "demo/echo", "messages": [{"role": "user", "content": content}]});
    let path = cluster.api.submit_to(Operation::ChatCompletion, &body).await;
    let job = cluster.api.ended_at(&path).await;
    assert_eq!(job["result"]["choices"][0]["message"]["content"], "what is it? [1 image]", "{job}");
    assert!(cluster.calls()[0].body.contains(&url));
    let text = json!({"model": "demo/echo", "prompt": "x".repeat(11 * MIB)});
    assert!(cluster.api.post(text.to_string()).await.error(413).contains("HERMOD_MAX_BODY_BYTES"));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_follows_a_form_is_passed_over_and_the_connection_stays() {
    let cluster = Cluster::builder().workers(0).start().await;
    let form = recording("demo/echo", MIB).finish();
    let end = vec![b' '; 500_000];
    let mut stream = begin(&cluster.api, form.len() + end.len(), "", &form);
    lasts(Duration::from_millis(300)).await;
    stream.write_all(&end).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let answers = answer(stream).await;
    assert!(answers.starts_with("HTTP/1.1 202") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn a_body_that_was_refused_is_no_request() {
    let config = json!({"client": {"enforce_auth_on_inference": true}});
    let cluster = Cluster::builder().config(config).workers(0).start().await;
    // What is in the refused body must not be taken for what follows it.
    let inside = b"POST /v1/async/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    for length in [inside.len(), MIB] {
        let mut body = inside.to_vec();
        body.resize(length, b'x');
        let mut stream = begin(&cluster.api, length, "", &[]);
        // The other side may have closed it by then.
        let sent = stream.write_all(&body);
        let sent = sent
            .and_then(|()| stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        let mut answers = Vec::new();
        let read = stream.read_to_end(&mut answers);
        let answers = String::from_utf8(answers).unwrap();
        assert!(answers.starts_with("HTTP/1.1 401"), "{sent:?} {read:?} {answers}");
        let later: Vec<_> = answers.matches("HTTP/1.1 ").collect();
        assert!(later.len() == 1 || (later.len() == 2 && answers.contains("HTTP/1.1 200")), "{answers}");
    }
}
