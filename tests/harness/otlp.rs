use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::receiver::{accept, read_request};
use crate::{PATIENCE, eventually_ok};

/// Who takes traces, as a collector does. It has a thread of its own.
#[derive(Clone, Debug)]
pub struct TraceReceiver {
    /// Where traces go: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bodies: Vec<Bytes>,
    headers: Vec<HeaderMap>,
    mood: Mood,
    refused: usize,
}

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It takes it.
    #[default]
    Takes,
    /// It answers with 503.
    Refuses,
    /// It never answers.
    Hangs,
}

/// A span as it was received.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    pub name: String,
    /// `PRODUCER`, `CONSUMER`, `CLIENT`.
    pub kind: String,
    /// In hexadecimal, as in `traceparent`.
    pub trace: String,
    pub id: String,
    /// Empty for the first of a trace.
    pub parent: String,
    /// Its `tracestate`.
    pub state: String,
    /// Trace and id of what it is linked to.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, Value>,
    /// Name and attributes of what has happened meanwhile.
    pub events: Vec<(String, Value)>,
    /// Whether it is marked as failed.
    pub is_error: bool,
    /// What its status says besides.
    pub message: String,
    /// Attributes of the process.
    pub resource: BTreeMap<String, Value>,
    /// In nanoseconds since the epoch.
    pub begun: u64,
    pub ended: u64,
}

impl TraceReceiver {
    /// Starts one. It ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self { url, state: Arc::default() };
        let own = receiver.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(accept(listener, move |stream| {
                    let own = own.clone();
                    async move { own.serve(stream).await }
                }));
            })
            .unwrap();
        receiver
    }

    /// What it does from now on.
    pub fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// What it was sent and has taken, byte for byte.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().bodies.clone()
    }

    /// The headers that came with it.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.state.lock().unwrap().headers.clone()
    }

    /// What it was sent and has not taken.
    pub fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// The spans that it has taken, by their beginning.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            for of in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                let resource = attributes(&of.resource.unwrap_or_default().attributes);
                let all = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| ReceivedSpan::new(&span, &resource)));
            }
        }
        spans.sort_by_key(|span| span.begun);
        spans
    }

    /// Waits for at least so many spans.
    pub async fn receives(&self, spans: usize) -> Vec<ReceivedSpan> {
        eventually_ok(&format!("{spans} spans"), PATIENCE, async || {
            let received = self.spans();
            if received.len() >= spans { Ok(received) } else { Err(format!("but\n{}", tree(&received))) }
        })
        .await
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        while let Some((path, headers, body)) = read_request(&mut stream, &mut buffer).await? {
            assert_eq!(path, "/v1/traces");
            let mood = self.note(headers, body);
            let status = match mood {
                Mood::Takes => "200 OK",
                Mood::Refuses => "503 X",
                Mood::Hangs => {
                    while stream.read(&mut [0; 64]).await? > 0 {}
                    return Ok(());
                }
            };
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn note(&self, headers: HeaderMap, body: Bytes) -> Mood {
        let mut state = self.state.lock().unwrap();
        if state.mood == Mood::Takes {
            state.bodies.push(body);
            state.headers.push(headers);
        } else {
            state.refused += 1;
        }
        state.mood
    }
}

impl ReceivedSpan {
    fn new(span: &Span, resource: &BTreeMap<String, Value>) -> Self {
        let status = span.status.clone().unwrap_or_default();
        Self {
            name: span.name.clone(),
            kind: span.kind().as_str_name().replace("SPAN_KIND_", ""),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            attributes: attributes(&span.attributes),
            events: span
                .events
                .iter()
                .map(|event| (event.name.clone(), json!(attributes(&event.attributes))))
                .collect(),
            is_error: status.code == 2,
            message: status.message,
            resource: resource.clone(),
            begun: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
        }
    }

    /// An attribute; null when absent.
    pub fn is(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or_default()
    }

    /// Where it stands, as a link or `traceparent` tells it.
    pub fn place(&self) -> (String, String) {
        (self.trace.clone(), self.id.clone())
    }

    /// Its `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

/// Spans for a person: each below its parent, or below what it is linked to.
pub fn tree(spans: &[ReceivedSpan]) -> String {
    let mut text = String::new();
    let is_known = |place: &(String, String)| spans.iter().any(|span| span.place() == *place);
    for span in spans {
        let has_parent = is_known(&(span.trace.clone(), span.parent.clone()));
        if !has_parent && !span.links.iter().any(is_known) {
            branch(span, spans, 0, &mut text);
        }
    }
    text
}

fn branch(span: &ReceivedSpan, spans: &[ReceivedSpan], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let link = if span.links.is_empty() { "" } else { " (another trace, linked)" };
    let error = if span.is_error { " ERROR" } else { "" };
    let duration_ms = (span.ended - span.begun) as f64 / 1e6;
    let service = &span.resource["service.name"];
    writeln!(
        text,
        "{indent}{} {} {duration_ms:.2} ms{error} trace={} span={} parent={} service={service}{link}",
        span.kind, span.name, span.trace, span.id, span.parent
    )
    .unwrap();
    for (name, value) in &span.attributes {
        writeln!(text, "{indent}    {name} = {value}").unwrap();
    }
    for (name, attributes) in &span.events {
        writeln!(text, "{indent}    event {name} {attributes}").unwrap();
    }
    for other in spans {
        let is_below = other.trace == span.trace && other.parent == span.id;
        if is_below || other.links.contains(&span.place()) {
            branch(other, spans, depth + 1, text);
        }
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, Value> {
    all.iter().map(|of| (of.key.clone(), value(of.value.as_ref()))).collect()
}

fn value(of: Option<&AnyValue>) -> Value {
    match of.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(value)) => json!(value),
        Some(Any::IntValue(value)) => json!(value),
        Some(Any::DoubleValue(value)) => json!(value),
        Some(Any::ArrayValue(array)) => array.values.iter().map(|of| value(Some(of))).collect(),
        other => panic!("an attribute: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
