use hermod_types::CallUsage;
use hermod_types::governance::Money;
use reqwest::header::HeaderMap;

use super::*;

fn of(answer: &str) -> Option<CallUsage> {
    of_answer(answer, &HeaderMap::new())
}

fn tokens(input: u64, output: u64) -> CallUsage {
    CallUsage { input_tokens: Some(input), output_tokens: Some(output), ..CallUsage::default() }
}

#[test]
fn each_providers_account_is_read() {
    let none = CallUsage::default;
    for (provider, answer, wanted) in [
        (
            "OpenAI, chat",
            r#"{"choices":[{"usage":1}],"service_tier":"flex","usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":30,"audio_tokens":5},"completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":7}}}"#,
            CallUsage {
                cache_read_tokens: 30,
                input_audio_tokens: 5,
                reasoning_tokens: 20,
                output_audio_tokens: 7,
                service_tier: ServiceTier::Flex,
                ..tokens(100, 50)
            },
        ),
        (
            "OpenAI, responses",
            r#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":30},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":150}}"#,
            CallUsage { cache_read_tokens: 30, reasoning_tokens: 20, ..tokens(100, 50) },
        ),
        (
            "OpenAI, embeddings",
            r#"{"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            CallUsage { input_tokens: Some(8), ..none() },
        ),
        (
            "OpenAI, images",
            r#"{"usage":{"input_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens":100,"total_tokens":150}}"#,
            CallUsage { input_image_tokens: 40, ..tokens(50, 100) },
        ),
        (
            "OpenAI, a transcription by tokens",
            r#"{"text":"","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#,
            CallUsage { input_audio_tokens: 14, ..tokens(14, 45) },
        ),
        (
            "OpenAI, a transcription by time",
            r#"{"text":"","usage":{"type":"duration","seconds":9}}"#,
            CallUsage { audio_ms: Some(9000), ..none() },
        ),
        ("whisper servers", r#"{"text":"","duration":"2.47"}"#, CallUsage { audio_ms: Some(2470), ..none() }),
        (
            "Anthropic",
            r#"{"usage":{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":40,"service_tier":"standard"}}"#,
            CallUsage {
                cache_read_tokens: 3000,
                cache_write_tokens: 200,
                cache_hour_tokens: 50,
                ..tokens(3210, 40)
            },
        ),
        (
            "DeepSeek",
            r#"{"usage":{"prompt_tokens":100,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"completion_tokens":5,"total_tokens":105}}"#,
            CallUsage { cache_read_tokens: 64, ..tokens(100, 5) },
        ),
        (
            "OpenRouter",
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"cost":0.00014}}"#,
            CallUsage { cost: Some(Money::from_nanos(140_000)), ..tokens(10, 4) },
        ),
        (
            "Perplexity",
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"cost":{"input_tokens_cost":0.0,"request_cost":0.005,"total_cost":0.006}}}"#,
            CallUsage { cost: Some(Money::from_nanos(6_000_000)), ..tokens(10, 4) },
        ),
        (
            "xAI",
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":34,"completion_tokens_details":{"reasoning_tokens":20},"cost_in_usd_ticks":37756000}}"#,
            CallUsage { reasoning_tokens: 20, cost: Some(Money::from_nanos(3_775_600)), ..tokens(10, 24) },
        ),
        (
            "Gemini",
            r#"{"usageMetadata":{"promptTokenCount":100,"toolUsePromptTokenCount":5,"cachedContentTokenCount":40,"candidatesTokenCount":20,"thoughtsTokenCount":30,"totalTokenCount":155,"promptTokensDetails":[{"modality":"TEXT","tokenCount":60},{"modality":"AUDIO","tokenCount":40}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":12}]}}"#,
            CallUsage {
                cache_read_tokens: 40,
                input_audio_tokens: 40,
                reasoning_tokens: 30,
                output_image_tokens: 12,
                ..tokens(105, 50)
            },
        ),
        (
            "Vertex AI, embeddings",
            r#"{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":4.0,"truncated":false}}},{"embeddings":{"values":[2],"statistics":{"token_count":3}}}]}"#,
            CallUsage { input_tokens: Some(7), ..none() },
        ),
        (
            "Bedrock, Converse",
            r#"{"output":{},"usage":{"inputTokens":10,"outputTokens":4,"totalTokens":314,"cacheReadInputTokens":100,"cacheWriteInputTokens":200,"cacheDetails":[{"ttl":"5m","inputTokens":150},{"ttl":"1h","inputTokens":50}]}}"#,
            CallUsage {
                cache_read_tokens: 100,
                cache_write_tokens: 200,
                cache_hour_tokens: 50,
                ..tokens(310, 4)
            },
        ),
        (
            "Bedrock, Titan",
            r#"{"embedding":[1],"inputTextTokenCount":6}"#,
            CallUsage { input_tokens: Some(6), ..none() },
        ),
        (
            "Cohere, chat",
            r#"{"usage":{"billed_units":{"input_tokens":5.0,"output_tokens":418},"tokens":{"input_tokens":71,"output_tokens":418}}}"#,
            tokens(5, 418),
        ),
        (
            "Cohere, embeddings",
            r#"{"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":2}}}"#,
            CallUsage { input_tokens: Some(2), ..none() },
        ),
        (
            "Cohere, rerank",
            r#"{"meta":{"billed_units":{"search_units":1}}}"#,
            CallUsage { searches: Some(1), ..none() },
        ),
        ("Voyage, Jina", r#"{"usage":{"total_tokens":26}}"#, CallUsage { input_tokens: Some(26), ..none() }),
        (
            "Mistral, OCR",
            r#"{"pages":[],"usage_info":{"pages_processed":3,"doc_size_bytes":null}}"#,
            CallUsage { pages: Some(3), ..none() },
        ),
        (
            "ElevenLabs, a transcription",
            r#"{"text":"","audio_duration_secs":1.5}"#,
            CallUsage { audio_ms: Some(1500), ..none() },
        ),
        (
            "an error",
            r#"{"error":{"message":"cut off"},"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
            tokens(3, 1),
        ),
    ] {
        assert_eq!(of(answer), Some(wanted), "{provider}");
    }
}

#[test]
fn what_says_nothing_is_none() {
    for answer in [
        "",
        "[]",
        "{}",
        "\"usage\"",
        r#"{"usage":null}"#,
        r#"{"usage":3}"#,
        r#"{"meta":{"warnings":[]}}"#,
        r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}"#,
        r#"{"duration":null}"#,
        r#"{"duration":-1}"#,
        r#"{"predictions":[{}]}"#,
    ] {
        assert_eq!(of(answer), None, "{answer}");
    }
    let odd = r#"{"usage":{"prompt_tokens":-5,"completion_tokens":"7","total_tokens":1e300,"cost":-1}}"#;
    assert_eq!(of(odd).unwrap().cost, None);
}

#[test]
fn bedrocks_headers_count_what_its_answer_does_not() {
    let mut headers = HeaderMap::new();
    headers.insert(BEDROCK_INPUT_TOKENS, "12".parse().unwrap());
    assert_eq!(of_answer("{}", &headers), Some(CallUsage { input_tokens: Some(12), ..CallUsage::default() }));
}

#[test]
fn units_are_seen_from_request_and_result() {
    let units = |operation, body, result| with_units(operation, body, result, CallUsage::default());
    let speech = units(Operation::Speech, r#"{"input":"caf\u00e9 \"x\""}"#, "");
    assert_eq!(speech.characters, Some(8));
    let images = units(Operation::ImageGeneration, "{}", r#"{"data":[{"b64_json":"x"},{"url":"y"}]}"#);
    assert_eq!(images.images, Some(2));
    let documents = format!(r#"{{"documents":[{}"x"]}}"#, "\"y\",".repeat(100));
    assert_eq!(units(Operation::Rerank, &documents, "{}").searches, Some(2));
    let counted = with_units(Operation::ImageGeneration, "{}", r#"{"data":[{}]}"#, tokens(1, 2));
    assert_eq!(counted, tokens(1, 2), "tokens are enough");
}
