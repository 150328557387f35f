//! What is pure on a submit's way in and a result's way out: reading and checking a request, and composing a result,
//! with bodies of 1 KB, 64 KB and 1 MB.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use hermod_types::config::{ApiProvider, ProviderKind};
use hermod_types::{
    Journal, Operation, RawObject, Request, ResultExtra, Target, cannot_serve, compose_result,
};

const SIZES: [(&str, usize); 3] = [("1 KB", 1 << 10), ("64 KB", 64 << 10), ("1 MB", 1 << 20)];

/// Words with a line break and a quote now and then, as prompts have them.
fn text(bytes: usize) -> String {
    "Say \"this\",\n and many more words. ".chars().cycle().take(bytes).collect()
}

fn parse(criterion: &mut Criterion) {
    for (group, operation, prompt) in [
        ("parse a request", Operation::TextCompletion, r#""prompt":TEXT"#),
        ("parse a chat", Operation::ChatCompletion, r#""messages":[{"role":"user","content":TEXT}]"#),
        (
            "parse a chat with an image",
            Operation::ChatCompletion,
            r#""messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,BASE64"}}]}]"#,
        ),
    ] {
        parse_sizes(criterion, group, operation, prompt);
    }
}

fn parse_sizes(criterion: &mut Criterion, group: &str, operation: Operation, prompt: &str) {
    let mut group = criterion.benchmark_group(group);
    for (name, bytes) in SIZES {
        let prompt = prompt.replace("TEXT", &serde_json::Value::from(text(bytes)).to_string());
        let prompt = prompt.replace("BASE64", &"iVBORw0K".repeat(bytes / 8));
        let body = format!(
            r#"{{"model":"openai/gpt-3.5-turbo-instruct",{prompt},"max_tokens":256,"temperature":0.7}}"#
        );
        group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap_or_default()));
        group.bench_with_input(BenchmarkId::from_parameter(name), body.as_bytes(), |bencher, body| {
            bencher.iter(|| Request::parse(operation, black_box(body), hermod_types::Naming::default()));
        });
    }
    group.finish();
}

/// The look at what a provider of another form cannot say.
fn expressible(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look at a chat for anthropic");
    let provider = ApiProvider { kind: ProviderKind::Anthropic, allowed: None };
    for (name, bytes) in SIZES {
        let text = serde_json::Value::from(text(bytes));
        let body = format!(
            r#"{{"messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":{text}}}],"max_tokens":256,"temperature":0.7}}"#
        );
        group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap_or_default()));
        group.bench_with_input(BenchmarkId::from_parameter(name), body.as_str(), |bencher, body| {
            bencher.iter(|| cannot_serve(&provider, Operation::ChatCompletion, "m", black_box(body), 256));
        });
    }
    group.finish();
}

fn compose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compose a result");
    let Ok(target) = "openai/gpt-3.5-turbo-instruct".parse::<Target>() else { return };
    for (name, bytes) in SIZES {
        let text = serde_json::Value::from(text(bytes));
        let answer = format!(
            r#"{{"id":"cmpl-1","object":"text_completion","created":1730000000,"model":"gpt","choices":[{{"text":{text},"index":0,"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}}}"#
        );
        group.throughput(Throughput::Bytes(u64::try_from(answer.len()).unwrap_or_default()));
        group.bench_with_input(BenchmarkId::from_parameter(name), answer.as_str(), |bencher, answer| {
            bencher.iter(|| {
                let object: RawObject<'_> = serde_json::from_str(black_box(answer)).ok()?;
                let journal = Journal::default();
                let extra =
                    ResultExtra::new(Operation::TextCompletion, &target, target.model(), 412, 0, &journal);
                Some(compose_result(&object, &extra))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    parse(&mut criterion);
    expressible(&mut criterion);
    compose(&mut criterion);
    criterion.final_summary();
}
