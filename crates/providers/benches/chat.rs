//! Converting a chat of 1 KB, and its answer, for a provider of another form.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use hermod_providers::convert_chat;
use hermod_types::config::ProviderKind;

/// Words with a line break and a quote now and then, as prompts have them.
fn text(bytes: usize) -> String {
    let text: String = "Say \"this\",\n and many more words. ".chars().cycle().take(bytes).collect();
    serde_json::Value::from(text).to_string()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("convert a chat and its answer");
    let said = text(1 << 10);
    let plain = format!(
        r#"{{"messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":{said}}}],"max_tokens":256,"temperature":0.7}}"#
    );
    let tools = format!(
        r#"{{"messages":[{{"role":"user","content":{}}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"toolu_01","type":"function","function":{{"name":"get_weather","arguments":"{{\"location\":\"Paris\"}}"}}}}]}},{{"role":"tool","tool_call_id":"toolu_01","content":"15 degrees"}}],"tools":[{{"type":"function","function":{{"name":"get_weather","description":"Get the current weather","parameters":{{"type":"object","properties":{{"location":{{"type":"string"}}}},"required":["location"]}}}}}}],"max_tokens":256}}"#,
        text(512)
    );
    let anthropic = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{{"type":"text","text":{said}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":300,"output_tokens":250}}}}"#
    );
    let bedrock = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":{said}}}]}}}},"stopReason":"end_turn","usage":{{"inputTokens":300,"outputTokens":250,"totalTokens":550}},"metrics":{{"latencyMs":1}}}}"#
    );
    for (kind, answer) in [(ProviderKind::Anthropic, &anthropic), (ProviderKind::Bedrock, &bedrock)] {
        for (name, body) in [("1 KB", &plain), ("1 KB with tools", &tools)] {
            group.bench_function(BenchmarkId::new(kind.name(), name), |bencher| {
                bencher.iter(|| convert_chat(kind, "claude-sonnet-4-5", black_box(body), black_box(answer)));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
