//! Clients that stall, drip or announce too much: each is ended, and none keeps others out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hermod_tests::{Api, Cluster, eventually};
use serde_json::json;

/// What these tests are about is not how fast a disk is.
const FAST_REDIS: &[&str] = &["--appendfsync", "no"];

const GET: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

fn raw(api: &Api) -> TcpStream {
    let stream = TcpStream::connect(api.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(70))).unwrap();
    stream
}

fn submit_head(length: usize) -> String {
    format!("POST /v1/async/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

/// Reads to the end, and tells what came and how long it took.
fn ended(mut stream: TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    let outcome = stream.read_to_end(&mut answer);
    assert!(outcome.is_ok(), "after {:?}: {outcome:?}", begun.elapsed());
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

/// Sends a submit at 12 KiB/s, for longer than any stall may take.
fn steady_submit(api: &Api) -> String {
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(48 * 12 * 1024)}).to_string();
    let mut stream = raw(api);
    stream.write_all(submit_head(body.len()).as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(12 << 10) {
        std::thread::sleep(Duration::from_secs(1));
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    ended(stream).0
}

#[tokio::test]
async fn what_stalls_is_ended_after_30_s_and_what_goes_on_is_not() {
    let cluster = Cluster::builder().redis_options(FAST_REDIS).start().await;
    let large = json!({"model": "demo/echo", "prompt": "x".repeat(9 << 20)});
    let id = cluster.run(large).await["id"].as_str().unwrap().to_owned();

    let submit = submit_head(100);
    let stalls = [
        ("a first head", "GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned(), 408),
        ("a second head", GET.to_owned(), 408),
        ("half a head behind a request", format!("{GET}GET /li"), 408),
        ("a body", format!("{submit}{{\"model\""), 408),
    ];
    let mut threads = Vec::new();
    for (what, sent, status) in stalls {
        let mut stream = raw(&cluster.api);
        stream.write_all(sent.as_bytes()).unwrap();
        if what == "a second head" {
            let mut answer = [0; 17];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
            stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
        }
        threads.push(std::thread::spawn(move || {
            let (answer, elapsed) = ended(stream);
            let last = answer.rfind("HTTP/1.1").map_or("", |last| &answer[last..]);
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
            assert!(last.contains("x-request-id: ") && last.contains("request_timeout"), "{what}: {answer}");
            assert!((25..40).contains(&elapsed.as_secs()), "{what}: {elapsed:?}");
        }));
    }

    // One that does not read what it asked for.
    let mut deaf = raw(&cluster.api);
    write!(deaf, "GET /v1/async/completions/{id} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    threads.push(std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(38));
        let mut received = Vec::new();
        let outcome = deaf.read_to_end(&mut received);
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        assert!(received.len() < 9 << 20, "what was in buffers, and no more: {}", received.len());
    }));

    let api = cluster.api.clone();
    let steady = tokio::task::spawn_blocking(move || steady_submit(&api));
    for thread in threads {
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    }
    let steady = steady.await.unwrap();
    assert!(steady.starts_with("HTTP/1.1 202"), "48 s of 12 KiB/s: {steady}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_comes() {
    let cluster = Cluster::start().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut stream = raw(&cluster.api);
        let head = submit_head(11 << 20).replace("host: x\r\n", &format!("host: x\r\n{expect}"));
        let begun = Instant::now();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413", "{expect:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let rest = ended(stream).0;
        assert!(rest.contains("x-request-id: ") && rest.contains("10485760 bytes"), "{expect:?}: {rest}");
    }
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(100_000)}).to_string();
    let wanted = cluster.api.submission(body).header("expect", "100-continue");
    assert_eq!(cluster.api.send(wanted).await.status, 202, "one within the limit is asked for");
}

#[tokio::test]
async fn slow_large_uploads_do_not_keep_small_submits_out() {
    let cluster = Cluster::builder()
        .set("HERMOD_MAX_BODY_BYTES", 1 << 20)
        .set("HERMOD_MAX_UPLOAD_BYTES", 1 << 20)
        .set("HERMOD_MAX_MEMORY_BYTES", 4 << 20)
        .redis_options(FAST_REDIS)
        .start()
        .await;
    let large = json!({"model": "demo/echo", "prompt": "x".repeat(600_000)}).to_string();
    let mut uploads = Vec::new();
    let refused = eventually("large ones are refused", Duration::from_secs(20), async || {
        // An upload that finds no room itself is refused, so there may be more of them than fit in.
        let mut stream = raw(&cluster.api);
        stream.write_all(submit_head(1 << 20).as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; (1 << 20) - 1]).unwrap();
        uploads.push(stream);
        let answer = cluster.api.post(large.clone()).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(refused.error(429).contains("HERMOD_MAX_MEMORY_BYTES"));
    assert!((1..60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    for _ in 0..20 {
        let small = json!({"model": "demo/echo", "prompt": "x".repeat(60_000)}).to_string();
        assert_eq!(cluster.api.post(small).await.status, 202);
    }
    drop(uploads);
    eventually("large ones are taken again", Duration::from_secs(20), async || {
        (cluster.api.post(large.clone()).await.status == 202).then_some(())
    })
    .await;
}
