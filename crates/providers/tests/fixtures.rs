//! Each provider as its documentation has it: what we send, and what becomes of its answers.
//!
//! A fixture is a file in `fixtures/<provider>/`. `endpoint` is the path of the operation, `completions` unless
//! given; `config` is what stands below `providers.<provider>` in a config.json, with `{server}` for where the fake is; `body` are the
//! client's members. An upload has a `form` (parts with `name`, and `value`, or `file` with the text of a file) instead of a body. An
//! exchange is a request that must come, whatever the order, and its answer: a request has a JSON `body`, or the `parts` of a form; an
//! answer's body is JSON, a text, or `{"base64": …}`. `result` is what the client gets, or the answer as it came where that is absent;
//! `error` is what it is told, and what happens next. A `null` for an `id` or the time of a result is what we make up where a provider
//! gives none; a header that ends in `*` is the beginning of what must come.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hermod_providers::{Bill, CallError, MediaSource, ProviderCall, Providers, Replies, Verdict};
use hermod_types::config::{Models, ProviderKind, Support};
use hermod_types::{
    BodyForm, CallUsage, Config, Form, FormPart, Journal, Operation, PartContent, ResultExtra, Target,
};
use serde_json::{Value, json};

/// What a provider was sent.
struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    /// JSON, or the parts of a form.
    body: Value,
}

/// A provider that answers what its exchanges say, each once.
struct Fake {
    address: String,
    complaints: Arc<Mutex<Vec<String>>>,
    left: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    fn start(exchanges: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            complaints: Arc::default(),
            left: Arc::new(Mutex::new(exchanges.to_vec())),
        };
        let (complaints, left) = (Arc::clone(&fake.complaints), Arc::clone(&fake.left));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let received = receive(&stream);
                let mut left = left.lock().unwrap();
                let place = left.iter().position(|exchange| *wanted_body(exchange) == received.body);
                let answer = if let Some(place) = place {
                    let exchange = left.remove(place);
                    complaints.lock().unwrap().extend(differences(&exchange["request"], &received));
                    exchange["answer"].clone()
                } else {
                    complaints.lock().unwrap().push(format!("nobody expected {}", received.body));
                    json!({"status": 418, "body": {}})
                };
                answer_with(&mut stream, &answer);
            }
        });
        fake
    }

    fn finish(&self) -> Vec<String> {
        let mut complaints = self.complaints.lock().unwrap().clone();
        let left = self.left.lock().unwrap();
        complaints.extend(left.iter().map(|exchange| format!("never sent: {}", wanted_body(exchange))));
        complaints
    }
}

fn wanted_body(exchange: &Value) -> &Value {
    let request = &exchange["request"];
    request.get("parts").unwrap_or(&request["body"])
}

fn receive(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let path =
        first.strip_prefix("POST ").and_then(|rest| rest.split(' ').next()).unwrap_or(&first).to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let boundary = headers["content-type"].strip_prefix("multipart/form-data; boundary=");
    let body = match boundary {
        Some(boundary) => parts(&String::from_utf8(body).unwrap(), boundary),
        None => serde_json::from_slice(&body).unwrap(),
    };
    Received { path, headers, body }
}

/// The parts of a form, as fixtures write them.
fn parts(body: &str, boundary: &str) -> Value {
    let body = body.strip_suffix(&format!("--{boundary}--\r\n")).unwrap();
    let delimiter = format!("--{boundary}\r\n");
    let parts = body.split(&delimiter).skip(1).map(|part| {
        let (head, content) = part.strip_suffix("\r\n").unwrap().split_once("\r\n\r\n").unwrap();
        let quoted =
            |name: &str| head.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        let mut part = json!({"name": quoted("name").unwrap(), "value": content});
        if let Some(filename) = quoted("filename") {
            part["filename"] = filename.into();
        }
        if let Some((_, content_type)) = head.split_once("Content-Type: ") {
            part["content_type"] = content_type.into();
        }
        part
    });
    Value::Array(parts.collect())
}

fn differences(wanted: &Value, received: &Received) -> Vec<String> {
    let mut found = Vec::new();
    if wanted["path"] != received.path.as_str() {
        found.push(format!("path: {} and not {}", received.path, wanted["path"]));
    }
    let is_form = wanted.get("parts").is_some();
    let always =
        json!({"content-type": if is_form { "multipart/form-data; boundary=*" } else { "application/json" }});
    let none = serde_json::Map::new();
    let given = wanted["headers"].as_object().unwrap_or(&none);
    for (name, value) in given.iter().chain(always.as_object().unwrap()) {
        let got = received.headers.get(name).map(String::as_str);
        let as_wanted = match value.as_str().and_then(|value| value.strip_suffix('*')) {
            Some(beginning) => got.is_some_and(|got| got.starts_with(beginning)),
            // null: must not be there.
            None => value.as_str() == got,
        };
        if !as_wanted {
            found.push(format!("header {name}: {:?} and not {value}", received.headers.get(name)));
        }
    }
    found
}

fn answer_with(stream: &mut TcpStream, answer: &Value) {
    let body = &answer["body"];
    let body = match (body.as_str(), body.get("base64")) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(bytes)) => STANDARD.decode(bytes.as_str().unwrap()).unwrap(),
        (None, None) => body.to_string().into_bytes(),
    };
    let mut head = format!(
        "HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {}\r\n",
        answer["status"],
        body.len()
    );
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

/// The files of a form.
struct Files(Bytes);

impl MediaSource for Files {
    fn read(&self, start: u64, most: usize) -> BoxFuture<'_, std::io::Result<Bytes>> {
        let start = usize::try_from(start).unwrap().min(self.0.len());
        let end = (start + most).min(self.0.len());
        Box::pin(std::future::ready(Ok(self.0.slice(start..end))))
    }
}

/// What a job of this fixture has as its body and as its media.
fn job(fixture: &Value, operation: Operation) -> (String, Bytes) {
    if operation.form() == BodyForm::Json {
        return (fixture["body"].to_string(), Bytes::new());
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut media = Vec::new();
    let parts = fixture["form"].as_array().unwrap().iter().map(|part| {
        let content = match part.get("file") {
            Some(file) => {
                media.extend_from_slice(file.as_str().unwrap().as_bytes());
                PartContent::Bytes(u64::try_from(file.as_str().unwrap().len()).unwrap())
            }
            None => PartContent::Value(text(&part["value"]).unwrap()),
        };
        let name = text(&part["name"]).unwrap();
        FormPart {
            name,
            filename: text(&part["filename"]),
            content_type: text(&part["content_type"]),
            content,
        }
    });
    let form = Form { parts: parts.collect() };
    (form.to_json(), media.into())
}

fn operation_of(fixture: &Value) -> Operation {
    let path = fixture["endpoint"].as_str().unwrap_or("completions");
    Operation::all().find(|operation| operation.path() == path).unwrap()
}

async fn call(provider: &str, fixture: &Value, server: &str) -> Result<Value, CallError> {
    let config = fixture["config"].to_string().replace("{server}", server);
    let config = format!(r#"{{"providers":{{"{provider}":{config}}}}}"#);
    let config = Config::from_json(&config, &|_| None).unwrap();
    assert!(config.ignored.is_empty(), "{:?}", config.ignored);
    let providers = Providers::new(&config).unwrap();
    let target: Target = format!("{provider}/{}", fixture["model"].as_str().unwrap()).parse().unwrap();
    let operation = operation_of(fixture);
    let (body, media) = job(fixture, operation);
    let refusal = providers.cannot_serve(operation, &target, &body);
    assert!(refusal.is_none(), "{provider}: {refusal:?}");
    let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
    let permit = providers.permit(&target, Duration::from_secs(5)).await.unwrap();
    let (limit, replies, bill) = (Duration::from_secs(20), Replies::default(), Bill::default());
    let call = ProviderCall {
        trace: None,
        operation,
        target: &target,
        media: Some(Arc::new(Files(media))),
        body: &body,
        key,
        timeout: limit,
        limit,
        replies: &replies,
        meter: None,
        bill: &bill,
    };
    let completion = providers.call(call, permit).await?;
    let journal = Journal::default();
    let extra = ResultExtra::new(Operation::TextCompletion, &target, target.model(), 1, 0, &journal);
    let mut done: Value = serde_json::from_str(&completion.compose(&extra)).unwrap();
    done.as_object_mut().unwrap().remove("extra_fields").unwrap();
    assert_eq!(bill.unknown(), 0, "each request was answered");
    // Cohere bills for less than it reads.
    if provider != "cohere" {
        check_bill(&bill, &done["usage"]);
    }
    Ok(done)
}

/// The answers' accounts, which are read before the answers are converted, say what the result's `usage` says.
fn check_bill(bill: &Bill, usage: &Value) {
    let count = |name: &str| usage[name].as_u64();
    let cached =
        ["cache_creation_input_tokens", "cache_read_input_tokens"].map(|name| count(name).unwrap_or(0));
    let messages = count("input_tokens").map(|tokens| tokens + cached.iter().sum::<u64>());
    let usages = bill.usages();
    let sum = |tokens: fn(&CallUsage) -> Option<u64>| usages.iter().filter_map(tokens).sum::<u64>();
    if let Some(input) = count("prompt_tokens").or(messages) {
        assert_eq!(sum(|usage| usage.input_tokens), input, "{usage} {usages:?}");
    }
    if let Some(output) = count("completion_tokens").or(count("output_tokens")) {
        let thought = usages.iter().map(|usage| usage.reasoning_tokens).sum::<u64>();
        let got = sum(|usage| usage.output_tokens);
        assert!(got == output || got == output + thought, "{usage} {usages:?}");
    }
}

fn told(error: &CallError) -> Value {
    let next = match error.verdict {
        Verdict::Retry { another_key: true, .. } => "retry, with another key",
        Verdict::Retry { .. } => "retry",
        Verdict::NextKey => "next key",
        Verdict::NextTarget => "next target",
        Verdict::Fail => "fail",
    };
    let mut told = serde_json::to_value(&*error.detail).unwrap();
    told["status"] = error.status.into();
    told["next"] = next.into();
    told
}

/// `got` with a null for what we have made up and `wanted` has a null for.
fn without_what_is_ours(mut got: Value, wanted: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let is_id = |id: &Value| id.as_str().is_some_and(|id| id.len() > 10);
    let is_now = |time: &Value| time.as_u64().is_some_and(|time| now.abs_diff(time) < 60);
    for (name, is_ours) in [
        ("id", is_id(&got["id"])),
        ("created", is_now(&got["created"])),
        ("created_at", is_now(&got["created_at"])),
    ] {
        if is_ours && wanted.get(name) == Some(&Value::Null) {
            got[name] = Value::Null;
        }
    }
    let wanted_items = wanted["output"].as_array().into_iter().flatten();
    let items = got.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten();
    for (item, wanted) in items.zip(wanted_items) {
        if is_id(&item["id"]) && wanted["id"].is_null() {
            item["id"] = Value::Null;
        }
    }
    got
}

async fn check(path: &Path) -> Vec<String> {
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let provider = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(fixture["documentation"].as_str().is_some_and(|link| link.starts_with("https://")), "{path:?}");
    let exchanges = fixture["exchanges"].as_array().unwrap();
    let fake = Fake::start(exchanges);
    let outcome = call(provider, &fixture, &fake.address).await;
    let mut complaints = fake.finish();
    let (wanted, got) = match &outcome {
        Ok(completion) => {
            let as_it_came = || exchanges[0]["answer"]["body"].clone();
            let wanted = fixture.get("result").cloned().unwrap_or_else(as_it_came);
            let got = without_what_is_ours(completion.clone(), &wanted);
            (wanted, got)
        }
        Err(error) => {
            let mut told = told(error);
            if let (Some(_), Verdict::Retry { after: Some(after), .. }) =
                (fixture["error"].get("after_ms"), error.verdict)
            {
                told["after_ms"] = u64::try_from(after.as_millis()).unwrap().into();
            }
            (fixture["error"].clone(), told)
        }
    };
    if fixture.get("error").is_some() != outcome.is_err() || wanted != got {
        complaints.push(format!("came to {got}\n    and not {wanted}"));
    }
    complaints
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = |path: &Path| {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    entries(&folder).iter().flat_map(|provider| entries(provider)).collect()
}

#[tokio::test]
async fn each_provider_is_sent_what_it_wants_and_understood() {
    let mut complaints = Vec::new();
    for path in fixtures() {
        let found = check(&path).await;
        complaints.extend(found.into_iter().map(|complaint| format!("{}: {complaint}", path.display())));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn each_cell_of_the_table_has_a_fixture_and_each_kind_an_error() {
    let all: Vec<(String, Value)> = fixtures()
        .into_iter()
        .map(|path| {
            let provider = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
            (provider, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect();
    let mut missing = Vec::new();
    for kind in ProviderKind::all() {
        let own = || all.iter().filter(|(provider, _)| provider == kind.name()).map(|(_, fixture)| fixture);
        if !own().any(|fixture| fixture.get("error").is_some()) {
            missing.push(format!("{kind}: an error"));
        }
        for operation in Operation::all().filter(|operation| kind.support(*operation) != Support::Absent) {
            let is_success =
                |fixture: &Value| operation_of(fixture) == operation && fixture.get("error").is_none();
            if !own().any(is_success) {
                missing.push(format!("{kind}: {}", operation.record_type()));
            }
        }
    }
    assert!(missing.is_empty(), "without a fixture: {missing:#?}");
}
