//! Forms that are sent again: their files are part of what must be the same.

use std::io::Write;

use hermod_tests::{Api, Cluster, FormBody, PATIENCE, Servers, eventually};
use hermod_types::Operation;
use reqwest::RequestBuilder;

use crate::submit_once::{new, replayed};
use crate::uploads::{answer, begin, pattern, recording};

/// More than a piece.
const BYTES: usize = 300_000;

fn submit(api: &Api, form: FormBody) -> RequestBuilder {
    api.form_to(Operation::Transcription, form)
}

fn keyed(api: &Api, form: FormBody) -> RequestBuilder {
    submit(api, form).header("idempotency-key", "k")
}

/// The recording with one byte that is another.
fn altered(model: &str) -> FormBody {
    let mut file = pattern(BYTES);
    file[BYTES - 1] ^= 1;
    FormBody::new().file("file", "talk.mp3", "audio/mpeg", &file).field("model", model)
}

#[tokio::test]
async fn the_contents_of_files_are_part_of_the_request() {
    for (servers, shards) in [(Servers::One, 1), (Servers::Cluster, 8)] {
        let builder = Cluster::builder().servers(servers).set("HERMOD_SHARDS", shards).apis(2);
        let cluster = builder.start().await;
        let apis = cluster.apis.read().unwrap().clone();
        let form = || recording("demo/echo", BYTES);
        let first = new(&apis[0].send(keyed(&apis[0], form())).await);
        assert_eq!(replayed(&apis[1].send(keyed(&apis[1], form())).await), first);
        // What stands between the parts says nothing.
        let renamed = rename_boundary(form().finish());
        let request = apis[1].submission_to(Operation::Transcription).body(renamed);
        let request = request.header("content-type", "multipart/form-data; boundary=9e20");
        assert_eq!(replayed(&apis[1].send(request.header("idempotency-key", "k")).await), first);
        apis[0].send(keyed(&apis[0], altered("demo/echo"))).await.error(422);
        apis[0].send(keyed(&apis[0], form().field("language", "en"))).await.error(422);

        // The same by the count of tries.
        let tried = |count: u32, form| submit(&apis[0], form).header("x-stainless-retry-count", count);
        let second = new(&apis[0].send(tried(0, form())).await);
        assert_eq!(replayed(&apis[0].send(tried(1, form())).await), second);
        let third = new(&apis[0].send(tried(2, altered("demo/echo"))).await);
        for id in [&first, &second, &third] {
            let path = format!("/v1/async/audio/transcriptions/{id}");
            assert_eq!(cluster.api.ended_at(&path).await["status"], "completed");
        }
        assert_eq!(cluster.calls().len(), 3, "{servers:?}");
        cluster.assert_drained().await;
    }
}

/// The same form with another boundary of the same length.
fn rename_boundary(mut body: Vec<u8>) -> Vec<u8> {
    let (old, new) = (format!("--{}", FormBody::BOUNDARY).into_bytes(), b"--9e20");
    for start in 0..=body.len() - old.len() {
        if body[start..].starts_with(&old) {
            body[start..start + old.len()].copy_from_slice(new);
        }
    }
    body
}

#[tokio::test]
async fn a_form_that_is_being_taken_is_not_taken_twice() {
    let cluster = Cluster::builder().workers(0).start().await;
    let body = recording("demo/echo", BYTES).finish();
    let (start, rest) = body.split_at(BYTES);
    let mut first = begin(&cluster.api, body.len(), "idempotency-key: k\r\nconnection: close\r\n", start);
    let refused = eventually("the first is being taken", PATIENCE, async || {
        let answer = cluster.api.send(keyed(&cluster.api, altered("demo/echo"))).await;
        // It was faster than the first.
        assert_ne!(answer.status, 202, "a form under way was not seen");
        (answer.status == 409).then_some(answer)
    })
    .await;
    assert_eq!(refused.error(409), "a request with this idempotency key is being taken");
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("2", ""));
    first.write_all(rest).unwrap();
    let answered = answer(first).await;
    assert!(answered.starts_with("HTTP/1.1 202"), "{answered}");
    let again = cluster.api.send(keyed(&cluster.api, recording("demo/echo", BYTES))).await;
    assert!(answered.contains(&replayed(&again)), "{answered}");
}

#[tokio::test]
async fn a_form_that_breaks_off_leaves_its_key_to_the_next() {
    let cluster = Cluster::builder().workers(0).start().await;
    let body = recording("demo/echo", BYTES).finish();
    let first = begin(&cluster.api, body.len(), "idempotency-key: k\r\n", &body[..BYTES]);
    drop(first);
    eventually("the next is accepted", PATIENCE, async || {
        let answer = cluster.api.send(keyed(&cluster.api, recording("demo/echo", 1000))).await;
        assert!(matches!(answer.status, 202 | 409), "{answer:?}");
        (answer.status == 202).then(|| new(&answer))
    })
    .await;
    let refused = altered("nobody/echo");
    cluster.api.send(submit(&cluster.api, refused).header("idempotency-key", "other")).await.error(400);
    new(&cluster
        .api
        .send(submit(&cluster.api, recording("demo/echo", 1)).header("idempotency-key", "other"))
        .await);
}
