//! What comes over the wire from a provider, and what must not: over raw sockets, which can do what no server would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use hermod_tests::Cluster;
use serde_json::{Value, json};

const COMPLETION: &str = r#"{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"text":"done","index":0,"logprobs":null,"finish_reason":"stop"}]}"#;

/// A request, read to its end.
struct Request {
    /// The first line and the headers.
    head: String,
    body: String,
}

/// Reads a request.
fn receive(stream: &mut impl Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

/// A server that does this with each connection that brings a request; it ends with the test's process.
fn upstream(answer: impl Fn(&mut TcpStream, &Request) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            let serve = move || {
                if let Some(request) = receive(&mut stream) {
                    answer(&mut stream, &request);
                }
            };
            std::thread::Builder::new().stack_size(1 << 20).spawn(serve).unwrap();
        }
    });
    format!("http://{address}")
}

/// Sends a head of these lines and what follows it. Whether the other side wanted it is not ours to say.
fn send(stream: &mut impl Write, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {}\r\n\r\n", head.replace('\n', "\r\n"));
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    drop(sent);
}

/// Sends a body whole.
fn send_whole(stream: &mut impl Write, head: &str, body: &[u8]) {
    send(stream, &format!("{head}\nconnection: close\ncontent-length: {}", body.len()), body);
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A provider in OpenAI's form at this address.
fn at(address: &str) -> Value {
    json!({"network_config": {"base_url": address, "default_request_timeout_in_seconds": 2},
           "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}})
}

/// Runs a job on the provider alone, and one with a fallback, which must take it; returns the error of the first.
async fn fails(cluster: &Cluster, provider: &str) -> Value {
    let model = format!("{provider}/m");
    let job = cluster.run(json!({"model": model, "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    assert_eq!(job["result"]["extra_fields"]["fallback_index"], 1, "{provider}: {job}");
    let job = cluster.run(json!({"model": model, "prompt": "x"})).await;
    assert_eq!(job["status"], "failed", "{provider}: {job}");
    job["error"].clone()
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_apart() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let huge = upstream(move |stream, _| {
        send(stream, "200 OK\ncontent-type: application/json\ncontent-length: 104857600", b"");
        let chunk = [b' '; 64 << 10];
        for _ in 0..(100 << 20) / chunk.len() {
            if stream.write_all(&chunk).is_err() {
                break;
            }
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
        }
    });
    let bomb = gzipped(&vec![b' '; 64 << 20]);
    let mut providers = json!({
        "silent": at(&upstream(|stream, _| drop(stream.read(&mut [0])))),
        "dripping": at(&upstream(|stream, _| {
            send(stream, "200 OK\ncontent-length: 1000", b"");
            // Until nobody listens any more.
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(300));
            }
        })),
        "broken": at(&upstream(|stream, _| send(stream, "200 OK\ncontent-length: 1000", br#"{"choices":["#))),
        "garbled": at(&upstream(|stream, _| {
            send_whole(stream, "200 OK", b"{\"choices\":[{\"text\":\"\xff\xfe\"}]}");
        })),
        "page": at(&upstream(|stream, _| {
            send_whole(stream, "200 OK\ncontent-type: text/html", b"<!doctype html><title>Welcome</title>");
        })),
        "no-http": at(&upstream(|stream, _| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n")))),
        "half-gzip": at(&upstream(|stream, _| {
            send_whole(stream, "200 OK\ncontent-encoding: gzip", &gzipped(COMPLETION.as_bytes())[..40]);
        })),
        "bomb": at(&upstream(move |stream, _| send_whole(stream, "200 OK\ncontent-encoding: gzip", &bomb))),
        "nowhere": at("http://nothing.invalid"),
        "huge": at(&huge),
    });
    for slow in ["huge", "bomb", "nowhere"] {
        providers[slow]["network_config"]["default_request_timeout_in_seconds"] = json!(30);
    }
    let cluster = Cluster::builder().config(json!({"providers": providers})).start().await;
    for (provider, status, code, says) in [
        ("silent", 504, "upstream_timeout", "no answer within 2000 ms"),
        ("dripping", 504, "upstream_timeout", "no answer within 2000 ms"),
        ("broken", 502, "upstream_unreachable", "could not be reached"),
        ("no-http", 502, "upstream_unreachable", "could not be reached"),
        ("nowhere", 502, "upstream_unreachable", "could not be reached"),
        ("garbled", 502, "upstream_invalid_response", "not UTF-8"),
        ("page", 502, "upstream_invalid_response", "not a JSON object"),
        ("bomb", 502, "upstream_answer_too_large", "larger than 33554432 bytes"),
        ("huge", 502, "upstream_answer_too_large", "larger than 33554432 bytes"),
        ("half-gzip", 502, "upstream_unreachable", "could not be reached"),
    ] {
        let error = fails(&cluster, provider).await;
        let told = (&error["status_code"], &error["error"]["code"]);
        assert_eq!(told, (&json!(status), &json!(code)), "{provider}: {error}");
        assert!(error["error"]["message"].as_str().unwrap().contains(says), "{provider}: {error}");
        let error = error.to_string();
        assert!(!error.contains("127.0.0.1") && !error.contains("nothing.invalid"), "an address: {error}");
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 2 * (50 << 20), "both times the rest was not taken: {sent} bytes");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let address = upstream(|stream, request| {
        assert!(request.head.to_ascii_lowercase().contains("accept-encoding: gzip"), "{}", request.head);
        send_whole(stream, "200 OK\ncontent-encoding: gzip", &gzipped(COMPLETION.as_bytes()));
    });
    let cluster = Cluster::builder().config(json!({"providers": {"zipped": at(&address)}})).start().await;
    let job = cluster.run(json!({"model": "zipped/m", "prompt": "x"})).await;
    assert_eq!(job["result"]["choices"][0]["text"], "done", "{job}");
}

#[tokio::test]
async fn a_redirect_takes_no_key_along() {
    let strangers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&strangers);
    let stranger = upstream(move |stream, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        send_whole(stream, "200 OK", COMPLETION.as_bytes());
    });
    let mut providers = json!({});
    for status in ["301", "302", "307", "308"] {
        let stranger = stranger.replace("127.0.0.1", "localhost");
        let address = upstream(move |stream, request| {
            assert!(request.head.contains("Bearer sk-secret-key"));
            send_whole(stream, &format!("{status} Moved\nlocation: {stranger}/v1/completions"), b"");
        });
        let name = format!("moved-{status}");
        providers[&name] =
            json!({"keys": [{"value": "sk-secret-key"}], "network_config": {"base_url": address}});
    }
    let cluster = Cluster::builder().config(json!({"providers": providers})).start().await;
    for status in [301, 302, 307, 308] {
        let error = fails(&cluster, &format!("moved-{status}")).await;
        assert_eq!(error["status_code"], status, "{error}");
    }
    assert_eq!(strangers.load(Ordering::Relaxed), 0, "the other host was called");
}

/// A server with a certificate for 127.0.0.1; gives its address and the authority that vouches for it, in PEM.
fn secure_upstream() -> (String, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();

    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(session, stream);
                if receive(&mut stream).is_some() {
                    send_whole(&mut stream, "200 OK", COMPLETION.as_bytes());
                    stream.conn.send_close_notify();
                    drop(stream.flush());
                }
            });
        }
    });
    (format!("https://{address}"), pem)
}

#[tokio::test]
async fn a_certificate_is_trusted_only_where_its_authority_is() {
    let (address, authority) = secure_upstream();
    let (_, another) = secure_upstream();
    let with = |member: &str, value: Value| {
        let mut provider = at(&address);
        provider["network_config"][member] = value;
        provider
    };
    let config = json!({"providers": {
        "unknown": at(&address),
        "another": with("ca_cert_pem", json!(another)),
        "known": with("ca_cert_pem", json!(authority)),
        "from-environment": with("ca_cert_pem", json!("env.AUTHORITY")),
        "careless": with("insecure_skip_verify", json!(true)),
    }});
    let cluster = Cluster::builder().config(config).set("AUTHORITY", &authority).start().await;
    for provider in ["unknown", "another"] {
        let error = fails(&cluster, provider).await;
        assert_eq!(error["error"]["code"], "upstream_unreachable", "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains("certificate"), "{error}");
    }
    for provider in ["known", "from-environment", "careless"] {
        let job = cluster.run(json!({"model": format!("{provider}/m"), "prompt": "x"})).await;
        assert_eq!(job["result"]["choices"][0]["text"], "done", "{provider}: {job}");
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used() {
    let proxy = upstream(|stream, request| {
        assert!(request.head.starts_with("POST http://nothing.invalid/v1/completions "), "{}", request.head);
        send_whole(stream, "200 OK", COMPLETION.as_bytes());
    });
    let config = json!({"providers": {"far": at("http://nothing.invalid")}});
    let cluster = Cluster::builder()
        .config(config)
        .set("HTTP_PROXY", &proxy)
        .set("NO_PROXY", "127.0.0.1")
        .start()
        .await;
    for model in ["far/m", "demo/echo"] {
        let job = cluster.run(json!({"model": model, "prompt": "x"})).await;
        assert_eq!(job["status"], "completed", "{model}: {job}");
    }
}

#[tokio::test]
async fn a_thousand_calls_are_under_way_at_once() {
    const CALLS: usize = 1000;
    let all_there = Arc::new(Barrier::new(CALLS));
    let address = upstream(move |stream, _| {
        all_there.wait();
        send_whole(stream, "200 OK", COMPLETION.as_bytes());
    });
    let mut crowd = at(&address);
    crowd["network_config"]["default_request_timeout_in_seconds"] = json!(60);
    let config = json!({"providers": {"crowd": crowd}});
    let cluster = Cluster::builder().config(config).set("HERMOD_CONCURRENCY", CALLS + 10).start().await;
    let mut jobs = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        jobs.push(cluster.api.submit(json!({"model": "crowd/m", "prompt": "x"})).await);
    }
    // Nobody is answered before all have come.
    for job in jobs {
        assert_eq!(cluster.ended(&job).await["status"], "completed");
    }
}

#[tokio::test]
async fn what_a_target_cannot_express_is_refused_or_passed_over() {
    let chat = upstream(|stream, request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(request.head.starts_with("POST /openai/v1/chat/completions "), "{}", request.head);
        let text = format!("to {}", body["messages"][0]["content"].as_str().unwrap());
        let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}});
        send_whole(stream, "200 OK", answer.to_string().as_bytes());
    });
    let groq = json!({"keys": [{"value": "sk-x"}], "network_config": {"base_url": format!("{chat}/openai")}});
    let cluster = Cluster::builder().config(json!({"providers": {"groq": groq}})).start().await;
    let refused = json!({"model": "groq/m", "prompt": "x", "suffix": "y", "fallbacks": ["groq/n"]});
    let answer = cluster.api.post(refused.to_string()).await;
    let message = answer.error(400);
    assert!(
        message.starts_with("no target can serve this request; groq/m: `suffix` cannot be said"),
        "{message}"
    );
    assert_eq!(answer.json()["error"]["param"], "suffix");

    let job = cluster.run(json!({"model": "groq/m", "prompt": [[1, 2]], "fallbacks": ["demo/echo"]})).await;
    assert_eq!(job["result"]["extra_fields"]["fallback_index"], 1, "{job}");

    let prompts = json!({"model": "groq/m", "prompt": ["a", "b"], "n": 2, "echo": true});
    let job = cluster.run(prompts).await;
    let texts: Vec<_> =
        job["result"]["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["ato a", "ato a", "bto b", "bto b"], "{job}");
    assert_eq!(job["result"]["object"], "text_completion");
    assert_eq!(job["result"]["usage"]["total_tokens"], 12);
}
