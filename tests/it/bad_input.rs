//! What nobody should send: never a panic, a connection that hangs, or a 500 for what the client did.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hermod_tests::{Api, Cluster};
use serde_json::json;

/// Asserts that the process still serves, and that no panic was logged.
async fn assert_well(cluster: &mut Cluster) {
    assert_eq!(
        cluster.run(json!({"model": "demo/echo", "prompt": "still there"})).await["status"],
        "completed"
    );
    for process in cluster.api_processes.iter_mut().chain(&mut cluster.workers) {
        assert!(process.try_wait().unwrap().is_none(), "{} ended", process.name());
    }
    let panics: Vec<_> = cluster.logs.all().into_iter().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "{panics:?}");
}

fn raw(api: &Api) -> TcpStream {
    let stream = TcpStream::connect(api.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(70))).unwrap();
    stream
}

#[tokio::test]
async fn bodies_that_are_no_request() {
    let mut cluster = Cluster::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let wrong: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":\"x\"".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":\"\xff\xfe\"}".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":\"x\"} {}".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":\"\x00\"}".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":\"a\",\"prompt\":\"b\"}".to_vec(),
        b"{\"model\":\"/\",\"prompt\":\"x\"}".to_vec(),
        b"{\"model\":\"a/\",\"prompt\":\"x\"}".to_vec(),
        b"{\"model\":\"/b\",\"prompt\":\"x\"}".to_vec(),
        b"{\"model\":\"demo/ec\\u0000ho\",\"prompt\":\"x\"}".to_vec(),
        b"{\"model\":\"demo/\\ud800\",\"prompt\":\"x\"}".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":NaN}".to_vec(),
        b"{\"model\":\"demo/echo\",\"prompt\":[1,99999999999999999999999]}".to_vec(),
        format!("{{\"model\":\"demo/echo\",\"prompt\":{deep}}}").into_bytes(),
        format!("{{\"model\":\"demo/echo\",\"prompt\":\"x\",\"mine\":{deep}}}").into_bytes(),
        deep.clone().into_bytes(),
        format!(
            "{{\"model\":\"demo/echo\",\"prompt\":\"x\",\"fallbacks\":{}}}",
            json!(vec!["demo/echo"; 1000])
        )
        .into_bytes(),
    ];
    for body in wrong {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        let answer = cluster.api.post(body).await;
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        answer.error(400);
    }
    assert_well(&mut cluster).await;
}

#[tokio::test]
async fn bodies_that_are_odd_and_right() {
    let mut cluster = Cluster::start().await;
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    for body in [
        format!(r#"{{"model":"demo/echo","prompt":"x","mine":{deep}}}"#),
        r#"{"model":"demo/echo","prompt":"x","mine":1,"mine":2}"#.to_owned(),
        r#"{"model":"demo/echo","prompt":"\u0000","seed":-99999999999999999999999999}"#.to_owned(),
        r#"{"model":"demo/echo","prompt":"x","temperature":1e999}"#.to_owned(),
        r#"{"mod\u0065l":"demo/echo","prompt":"x"}"#.to_owned(),
        format!(r#"{{"model":"demo/echo","prompt":"{}"}}"#, "x".repeat(9 << 20)),
    ] {
        let id = cluster.api.submit(&body).await;
        // What a provider makes of it is the provider's matter.
        let job = cluster.ended(&id).await;
        assert!(job["status_code"] == 200 || job["status_code"] == 400, "{job:.200}");
    }
    let urlencoded = cluster.api.submission(r#"{"model":"demo/echo","prompt":"x"}"#);
    let urlencoded = urlencoded.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(cluster.api.send(urlencoded).await.status, 202, "as curl -d sends it");
    assert_well(&mut cluster).await;
}

#[tokio::test]
async fn a_body_of_20_mb_gets_its_answer() {
    let mut cluster = Cluster::start().await;
    let body = format!(r#"{{"model":"demo/echo","prompt":"{}"}}"#, "x".repeat(20 << 20));
    let message = cluster.api.post(body.clone()).await.error(413);
    assert!(message.contains("10485760"), "{message}");
    // The same without a length, in chunks.
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        body.as_bytes().chunks(1 << 16).map(|chunk| Ok(chunk.to_vec())).collect();
    let mut stream = raw(&cluster.api);
    stream
        .write_all(b"POST /v1/async/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    for chunk in chunks.into_iter().flatten() {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
        stream.write_all(&chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_well(&mut cluster).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_body_is_forgotten() {
    let mut cluster = Cluster::start().await;
    for _ in 0..20 {
        let mut stream = raw(&cluster.api);
        let half = "POST /v1/async/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model\"";
        stream.write_all(half.as_bytes()).unwrap();
    }
    assert_well(&mut cluster).await;
}

#[tokio::test]
async fn ids_that_are_none() {
    let mut cluster = Cluster::start().await;
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.ended(&id).await;
    assert_eq!(cluster.api.poll(&id.to_uppercase()).await.status, 200, "a UUID in upper case is the same");
    let long = "a".repeat(10_000);
    let without_hyphens = id.replace('-', "");
    for odd in
        ["x", "%2e%2e%2f%2e%2e", "..%2f..%2fetc", "%00", "%ff%fe", "*", &long, &without_hyphens, "{hermod:0}"]
    {
        cluster.api.poll(odd).await.error(404);
    }
    // A client that does not tidy its paths.
    let mut stream = raw(&cluster.api);
    stream
        .write_all(b"GET /v1/async/completions/../../health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_well(&mut cluster).await;
}

#[tokio::test]
async fn headers_that_are_not_text() {
    let mut cluster = Cluster::start().await;
    let mut stream = raw(&cluster.api);
    let body = r#"{"model":"demo/echo","prompt":"x"}"#;
    let head = [
        b"POST /v1/async/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".as_slice(),
        b"x-request-id: \xff\xfe\r\nx-bf-async-job-result-ttl: \xff\r\nauthorization: \xff\r\n",
        format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    ]
    .concat();
    stream.write_all(&head).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_well(&mut cluster).await;
}

/// Asserts that an answer of the HTTP layer itself looks like all our errors.
fn assert_is_our_error(answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    assert!(head.contains("\r\nx-request-id: ") && head.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["status_code"], &body["is_bifrost_error"]), (&json!(status), &json!(false)));
    assert!(body["error"]["message"].is_string() && body["extra_fields"].is_object(), "{body}");
}

#[tokio::test]
async fn bytes_that_are_not_http() {
    let mut cluster = Cluster::start().await;
    let many_headers: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let many_headers = format!("GET /livez HTTP/1.1\r\n{many_headers}\r\n").into_bytes();
    let long_head = format!("GET /livez HTTP/1.1\r\nx: {}", "y".repeat(200 << 10)).into_bytes();
    let after_a_request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    for (garbage, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 400),
        (b"GET\r\n\r\n", 400),
        (b"\0\0\0\0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (&many_headers, 431),
        (&long_head, 431),
    ] {
        for is_reused in [false, true] {
            let mut stream = raw(&cluster.api);
            if is_reused {
                stream.write_all(after_a_request).unwrap();
                let answer = read_one(&mut stream);
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
            // It may be answered before all of it has gone.
            drop(stream.write_all(garbage));
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            assert_is_our_error(&String::from_utf8_lossy(&answer), status);
        }
    }
    let metrics = cluster.api.get("/metrics").await.text;
    let line = r#"hermod_http_requests_total{route="(none)",method="other",status="431"} 4"#;
    assert!(metrics.contains(line), "{metrics}");
    assert_well(&mut cluster).await;
}

/// Reads one answer whose body has a length.
fn read_one(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}
