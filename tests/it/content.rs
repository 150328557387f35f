//! The bytes of a result's media: all of them, parts of them, and none.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hermod_tests::{Answer, Cluster, FormBody, PATIENCE, eventually};
use hermod_types::Operation;
use redis::Commands;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

fn speech(model: &str, words: usize) -> Value {
    // Words that differ have tones that differ.
    let input: Vec<_> = (0..words).map(|word| format!("w{word}")).collect();
    json!({"model": model, "input": input.join(" "), "voice": "alloy"})
}

/// The media in a result.
fn media(job: &Value, place: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(job["result"].pointer(place).unwrap().as_str().unwrap()).unwrap()
}

struct Content<'a> {
    cluster: &'a Cluster,
    path: String,
}

impl Content<'_> {
    fn request(&self, method: Method) -> RequestBuilder {
        self.cluster.api.request(method, &self.path)
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(self.request(Method::GET), |request, (name, value)| request.header(*name, *value));
        self.cluster.api.send(request).await
    }

    /// Every kind of part, against the whole.
    async fn is(&self, whole: &[u8], content_type: &str) {
        let answer = self.get(&[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
        assert!(answer.bytes == whole, "{} of {} bytes", answer.bytes.len(), whole.len());
        assert_eq!(answer.header("content-length"), whole.len().to_string());
        assert_eq!(
            (answer.header("accept-ranges"), answer.header("x-content-type-options")),
            ("bytes", "nosniff")
        );
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");

        let head = self.cluster.api.send(self.request(Method::HEAD)).await;
        assert_eq!((head.status, head.bytes.len(), head.header("etag")), (200, 0, &*tag));
        assert_eq!(head.header("content-length"), whole.len().to_string());

        let size = whole.len();
        let piece = 256 << 10;
        for (from, to) in [
            (0, 0),
            (0, 1),
            (1, 1),
            (2, 7),
            (3, 3),
            (size / 2, size / 2 + 5),
            (size - 1, size - 1),
            (5, size - 1),
            (piece - 3, piece + 3),
            (100, 2 * piece),
        ] {
            if to >= size {
                continue;
            }
            let answer = self.get(&[("range", &format!("bytes={from}-{to}"))]).await;
            assert_eq!(
                (answer.status, answer.header("content-range")),
                (206, &*format!("bytes {from}-{to}/{size}"))
            );
            assert!(answer.bytes == whole[from..=to], "{from}-{to}");
            assert_eq!(answer.header("content-length"), (to - from + 1).to_string());
        }
        for (range, from) in [
            ("bytes=7-".to_owned(), 7),
            ("bytes=-9".to_owned(), size - 9),
            (format!("bytes=1-{}", size * 2), 1),
        ] {
            let answer = self.get(&[("range", &range)]).await;
            assert_eq!(answer.status, 206, "{range}");
            assert!(answer.bytes == whole[from..], "{range}");
        }
        let behind = self.get(&[("range", &format!("bytes={size}-"))]).await;
        behind.error(416);
        assert_eq!(
            (behind.header("content-range"), behind.json()["error"]["code"].as_str()),
            (&*format!("bytes */{size}"), Some("range_not_satisfiable"))
        );
        // What is not understood is as good as not there.
        for range in ["bytes=0-1,4-5", "bytes=x", "lines=1-2", "bytes=5-2"] {
            let answer = self.get(&[("range", range)]).await;
            assert_eq!((answer.status, answer.bytes.len()), (200, size), "{range}");
        }

        for (known, status) in [
            (tag.clone(), 304),
            ("*".to_owned(), 304),
            (format!("\"other\", W/{tag}"), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let answer = self.get(&[("if-none-match", &known), ("range", "bytes=x")]).await;
            assert_eq!((answer.status, answer.header("etag")), (status, &*tag), "{known}");
            assert_eq!(answer.bytes.is_empty(), status == 304);
        }
        for (condition, status) in [
            (tag.clone(), 206),
            (format!("W/{tag}"), 200),
            ("\"other\"".to_owned(), 200),
            ("Fri, 27 Nov 2026 10:00:00 GMT".to_owned(), 200),
        ] {
            let answer = self.get(&[("range", "bytes=0-1"), ("if-range", &condition)]).await;
            assert_eq!(answer.status, status, "{condition}");
        }
    }
}

#[tokio::test]
async fn audio_is_served_whole_and_in_parts() {
    let cluster = Cluster::start().await;
    // In the record, and in pieces that do not end where three bytes do.
    for words in [2, 300] {
        let path = cluster.api.submit_to(Operation::Speech, &speech("demo/echo", words)).await;
        let audio = media(&cluster.api.ended_at(&path).await, "/audio");
        assert_eq!(audio.len(), words * 4800);
        Content { cluster: &cluster, path: format!("{path}/content") }.is(&audio, "audio/mpeg").await;
    }
    let path = cluster.api.submit_to(Operation::Speech, &speech("demo/bytes-10485760", 1)).await;
    cluster.api.ended_at(&path).await;
    let answer = cluster.api.get(&format!("{path}/content")).await;
    assert!(answer.bytes == vec![b'x'; 10 << 20]);
}

#[tokio::test]
async fn a_transcription_is_served_as_its_text() {
    let cluster = Cluster::start().await;
    let name = "\u{e9}\u{1f600}\\\\ tab\tend";
    let form = FormBody::new().field("model", "demo/echo").file("file", name, "audio/mpeg", b"xyz");
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
    let job = cluster.api.ended_at(&path).await;
    let text = job["result"]["text"].as_str().unwrap();
    assert!(text.contains('\u{1f600}') && text.contains('\\') && text.contains('\t'), "{text:?}");
    let content = Content { cluster: &cluster, path: format!("{path}/content") };
    content.is(text.as_bytes(), "text/plain; charset=utf-8").await;

    let long = FormBody::new().field("model", "demo/bytes-700000").file("file", "a", "audio/mpeg", b"x");
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, long)).await;
    cluster.api.ended_at(&path).await;
    let content = Content { cluster: &cluster, path: format!("{path}/content") };
    content.is(&vec![b'x'; 700_000], "text/plain; charset=utf-8").await;
}

#[tokio::test]
async fn each_image_has_its_number() {
    let cluster = Cluster::start().await;
    let body = json!({"model": "demo/echo", "prompt": "a cat", "n": 3});
    let path = cluster.api.submit_to(Operation::ImageGeneration, &body).await;
    let job = cluster.api.ended_at(&path).await;
    let mut tags = Vec::new();
    for index in 0..3 {
        let answer = cluster.api.get(&format!("{path}/content?index={index}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"));
        assert!(answer.bytes == media(&job, &format!("/data/{index}/b64_json")));
        tags.push(answer.header("etag").to_owned());
    }
    tags.dedup();
    assert_eq!(tags.len(), 3);
    assert_eq!(cluster.api.get(&format!("{path}/content")).await.header("etag"), tags[0]);
    let beyond = cluster.api.get(&format!("{path}/content?index=3")).await;
    assert_eq!(beyond.error(422), "the result has no content with this index");
    assert_eq!(beyond.json()["error"]["code"], "no_content");
    for index in ["-1", "x", "1.5", ""] {
        let answer = cluster.api.get(&format!("{path}/content?index={index}")).await;
        assert_eq!(answer.error(400), "`index` must be a whole number");
        assert_eq!(answer.json()["error"]["param"], "index");
    }
    let body = json!({"model": "demo/echo", "prompt": "a cat", "response_format": "url"});
    let path = cluster.api.submit_to(Operation::ImageGeneration, &body).await;
    cluster.api.ended_at(&path).await;
    cluster.api.get(&format!("{path}/content")).await.error(422);
}

#[tokio::test]
async fn a_job_without_bytes_says_why() {
    let cluster = Cluster::start().await;
    let api = &cluster.api;
    let path = api.submit_to(Operation::Speech, &speech("demo/slow-3s", 1)).await;
    let early = api.get(&format!("{path}/content")).await;
    assert_eq!(early.error(409), "job is not completed");
    assert_eq!(early.json()["error"]["code"], "job_not_completed");
    assert!((1..60).contains(&early.header("retry-after").parse::<u64>().unwrap()));
    eventually("it runs", PATIENCE, async || {
        let is_running = api.get(&path).await.json()["status"] == "processing";
        is_running.then_some(())
    })
    .await;
    api.get(&format!("{path}/content")).await.error(409);

    let failed = api.submit_to(Operation::Speech, &speech("demo/fail-400", 1)).await;
    api.ended_at(&failed).await;
    let message = api.get(&format!("{failed}/content")).await.error(422);
    assert_eq!(message, "the job has failed, so it has no content");

    let chat = json!({"model": "demo/echo", "messages": [{"role": "user", "content": "x"}]});
    let chat = api.submit_to(Operation::ChatCompletion, &chat).await;
    api.ended_at(&chat).await;
    assert_eq!(api.get(&format!("{chat}/content")).await.error(422), "the result has no content");

    for id in ["0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70", "x"] {
        api.get(&format!("/v1/async/audio/speech/{id}/content")).await.error(404);
    }
    assert_eq!(api.ended_at(&path).await["status"], "completed");
    assert_eq!(api.get(&format!("{path}/content")).await.status, 200);
}

#[tokio::test]
async fn content_is_for_the_key_that_submitted_and_goes_with_its_job() {
    let key = |name: &str| {
        json!({"id": name, "name": name, "value": format!("sk-bf-{name}"),
        "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]})
    };
    let config = json!({"governance": {"virtual_keys": [key("team"), key("other")]}});
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let submission = api
        .submission_to(Operation::Speech)
        .body(speech("demo/bytes-100000", 1).to_string())
        .header("x-bf-vk", "sk-bf-team")
        .header("x-bf-async-job-result-ttl", "6");
    let path = format!("{}/content", api.accepted(submission).await);
    let get = |key: &str| api.request(Method::GET, &path).header("x-bf-vk", key.to_owned());
    eventually("it is completed", PATIENCE, async || {
        (api.send(get("sk-bf-team")).await.status == 200).then_some(())
    })
    .await;
    let never =
        api.get("/v1/async/audio/speech/0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70/content").await.error(404);
    assert_eq!(api.send(get("sk-bf-other")).await.error(404), never);
    assert_eq!(api.get(&path).await.error(404), never);
    eventually("it has expired", PATIENCE, async || {
        (api.send(get("sk-bf-team")).await.status == 404).then_some(())
    })
    .await;
    cluster.assert_drained().await;
}

/// A completed job whose images are these values of `b64_json`; returns the path of its content.
async fn images_of(cluster: &Cluster, answers: &[String]) -> String {
    let path = cluster
        .api
        .submit_to(Operation::ImageGeneration, &json!({"model": "demo/echo", "prompt": "x"}))
        .await;
    cluster.api.ended_at(&path).await;
    let id = path.rsplit('/').next().unwrap();
    let data: Vec<_> = answers.iter().map(|json| format!("{{\"b64_json\":{json}}}")).collect();
    let result = format!("{{\"data\":[{}],\"extra_fields\":{{}}}}", data.join(","));
    let media = serde_json::to_string(&hermod_types::media_of(Operation::ImageGeneration, &result)).unwrap();
    let mut redis = cluster.connect();
    let fields = [("outcome", &*result), ("media", &*media)];
    let _: () = redis.hset_multiple(format!("{{hermod:0}}:job:{id}"), &fields).unwrap();
    format!("{path}/content")
}

#[tokio::test]
async fn what_a_provider_calls_base64_and_is_none_is_no_fault_of_ours() {
    let cluster = Cluster::start().await;
    let answers = [
        r#""QUI=""#,
        r#""QU\/=""#,
        r#""QUJ""#,
        r#""QU$D""#,
        r#""====""#,
        r#""QUJD\u0000AAAA""#,
        "7",
        r#""Zm9v""#,
    ];
    let path = images_of(&cluster, &answers.map(str::to_owned)).await;
    for index in 0..9 {
        let answer = cluster.api.get(&format!("{path}?index={index}")).await;
        match index {
            0 | 7 => assert_eq!(
                (answer.status, &*answer.bytes),
                (200, if index == 0 { &b"AB"[..] } else { b"foo" })
            ),
            3 | 4 => assert_eq!(answer.error(422), "the result's content is not base64"),
            _ => assert_eq!(answer.error(422), "the result has no content with this index"),
        }
    }
}

#[tokio::test]
async fn a_result_of_another_run_has_another_tag() {
    let cluster = Cluster::start().await;
    let path = images_of(&cluster, &[r#""QUI=""#.to_owned()]).await;
    let tag = cluster.api.get(&path).await.header("etag").to_owned();
    assert_eq!(cluster.api.get(&path).await.header("etag"), tag);
    // As if Redis had lost its last second, and the job had run once more.
    let id = path.split('/').rev().nth(1).unwrap();
    let _: i64 = cluster.connect().hincr(format!("{{hermod:0}}:job:{id}"), "completed", 1500).unwrap();
    let range = cluster.api.request(Method::GET, &path).header("range", "bytes=1-").header("if-range", &tag);
    let answer = cluster.api.send(range).await;
    assert_eq!((answer.status, &*answer.bytes), (200, &b"AB"[..]), "two results are never mixed");
    assert_ne!(answer.header("etag"), tag);
}
