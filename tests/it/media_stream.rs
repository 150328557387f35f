//! The media of a request while a provider is sent them.

use std::io::{Read, Write};
use std::time::Duration;

use hermod_tests::{Cluster, FormBody, Signal, lasts};
use hermod_types::Operation;
use serde_json::json;

/// A provider that reads a request slowly until `go`, and then the rest.
fn slow_provider(go: std::sync::mpsc::Receiver<()>, begun: std::sync::mpsc::Sender<()>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        let length = |received: &[u8]| {
            let head = received.windows(4).position(|part| part == b"\r\n\r\n")?;
            let lines = String::from_utf8_lossy(received.get(..head)?).to_ascii_lowercase();
            let length = lines.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            Some(head + 4 + length.parse::<usize>().unwrap())
        };
        let mut waited = false;
        while length(received.get(..4096.min(received.len())).unwrap())
            .is_none_or(|length| received.len() < length)
        {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the request broke off after {} bytes", received.len());
            received.extend_from_slice(&chunk[..read]);
            if !std::mem::replace(&mut waited, true) {
                begun.send(()).unwrap();
                go.recv().unwrap();
            }
        }
        let body = r#"{"text":"heard"}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_provider_waits_while_redis_is_away() {
    let ((go, wait), (begin, begun)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let slow = json!({"network_config": {"base_url": slow_provider(wait, begin)},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}});
    let mut cluster = Cluster::builder().config(json!({"providers": {"slow": slow}})).start().await;
    // More than the buffers between the two hold.
    let form =
        FormBody::new().file("file", "talk.mp3", "audio/mpeg", &vec![7; 40 << 20]).field("model", "slow/m");
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    cluster.redis.as_mut().unwrap().process.signal(Signal::STOP);
    go.send(()).unwrap();
    // Longer than a piece is waited for, over an old connection and over a new one.
    lasts(Duration::from_secs(13)).await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::CONT);
    let job = cluster.api.ended_at(&path).await;
    assert_eq!(job["result"]["text"], "heard", "{job}");
    let attempts = job["result"]["extra_fields"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{job}");
    cluster.assert_drained().await;
}
