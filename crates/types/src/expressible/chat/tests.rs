use super::*;

const FIVE: [ProviderKind; 5] = [
    ProviderKind::Anthropic,
    ProviderKind::Bedrock,
    ProviderKind::Gemini,
    ProviderKind::Vertex,
    ProviderKind::Cohere,
];

fn fault(kind: ProviderKind, body: &str) -> Option<String> {
    inexpressible(kind, body, 256).and_then(|reason| reason.param)
}

/// Whether each of the five takes it, in their order, and what is at fault where one does not.
fn taken(body: &str, wanted: [bool; 5], param: &str) {
    for (kind, is_taken) in FIVE.into_iter().zip(wanted) {
        let param = (!is_taken).then_some(param);
        assert_eq!(fault(kind, body).as_deref(), param, "{kind} {body}");
    }
}

#[test]
fn members_are_told_by_their_names() {
    const NONE: [bool; 5] = [false; 5];
    const NOT_THE_FIRST_TWO: [bool; 5] = [false, false, true, true, true];
    for (member, wanted, param) in [
        (r#""logprobs":true"#, NONE, "logprobs"),
        (r#""top_logprobs":2"#, NONE, "top_logprobs"),
        (r#""logit_bias":{"1":5}"#, NONE, "logit_bias"),
        (r#""modalities":["text","audio"]"#, NONE, "modalities"),
        (r#""audio":{"voice":"alloy"}"#, NONE, "audio"),
        (r#""prediction":{}"#, NONE, "prediction"),
        (r#""web_search_options":{}"#, NONE, "web_search_options"),
        (r#""functions":[{"name":"f"}]"#, NONE, "functions"),
        (r#""verbosity":"low""#, NONE, "verbosity"),
        (r#""presence_penalty":0.5"#, NOT_THE_FIRST_TWO, "presence_penalty"),
        (r#""temperature":1.5"#, [false, false, true, true, false], "temperature"),
        (r#""stop":["1","2","3","4","5","6"]"#, [true, true, false, false, false], "stop"),
        (r#""stop":" ""#, [false, true, true, true, true], "stop"),
        (r#""n":0"#, NONE, "n"),
        (r#""n":257"#, NONE, "n"),
        (r#""n":256"#, [true; 5], ""),
        (r#""response_format":{"type":"json_object"}"#, NOT_THE_FIRST_TWO, "response_format.type"),
        (r#""response_format":{"type":"json_schema","json_schema":{}}"#, [true; 5], ""),
        (r#""response_format":{"type":"grammar"}"#, NONE, "response_format.type"),
        (
            r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
            [true, true, true, true, false],
            "tool_choice.function",
        ),
        (r#""tool_choice":{"type":"allowed_tools"}"#, NONE, "tool_choice"),
        (r#""tool_choice":"sometimes""#, NONE, "tool_choice"),
        (
            r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{}}]"#,
            NONE,
            "tools[1].type",
        ),
        (
            r#""tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false"#,
            [true, true, false, false, false],
            "parallel_tool_calls",
        ),
    ] {
        taken(&format!(r#"{{"messages":[],{member}}}"#), wanted, param);
    }
}

#[test]
fn what_a_message_holds_is_told_by_its_path() {
    const NONE: [bool; 5] = [false; 5];
    for (part, wanted, param) in [
        (
            r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#,
            [true, false, false, true, true],
            "image_url.url",
        ),
        (r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#, [true; 5], ""),
        (r#"{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA"}}"#, [true; 5], ""),
        (r#"{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA"}}"#, NONE, "image_url.url"),
        (r#"{"type":"image_url","image_url":{"file_id":"file-1"}}"#, NONE, "image_url.url"),
        (
            r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AA"}}"#,
            [true, true, true, true, false],
            "file",
        ),
        (
            r#"{"type":"file","file":{"file_url":"https://x/y.pdf"}}"#,
            [true, false, false, true, false],
            "file.file_url",
        ),
        (
            r#"{"type":"file","file":{"file_id":"file_1"}}"#,
            [true, false, false, false, false],
            "file.file_id",
        ),
        (r#"{"type":"file","file":{"file_id":"file-1"}}"#, NONE, "file.file_id"),
        (r#"{"type":"file","file":{}}"#, NONE, "file"),
        (r#"{"type":"video_url","video_url":{"url":"x"}}"#, NONE, "type"),
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"system","content":"s"}},{{"role":"user","content":[{{"type":"text","text":"t"}},{part}]}}]}}"#
        );
        taken(&body, wanted, &format!("messages[1].content[1].{param}"));
    }
    let audio = r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"FORMAT"}}]}]}"#;
    taken(
        &audio.replace("FORMAT", "mp3").replace(r#""data""#, r#""d""#),
        [false, false, true, true, false],
        "messages[0].content[0].input_audio",
    );
    assert_eq!(
        fault(ProviderKind::Gemini, audio).as_deref(),
        Some("messages[0].content[0].input_audio.format")
    );
    let sheet = r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"AAAA","filename":"a.xlsx"}}]}]}"#;
    assert_eq!(fault(ProviderKind::Bedrock, sheet), None);
    assert_eq!(
        fault(ProviderKind::Anthropic, sheet).as_deref(),
        Some("messages[0].content[0].file.file_data")
    );
    let reason = inexpressible(
        ProviderKind::Bedrock,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#,
        1,
    );
    assert_eq!(reason.unwrap().message, "bedrock takes images as data URLs only");
}

#[test]
fn what_a_role_cannot_hold_is_told() {
    const IMAGE: &str = r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]"#;
    for (message, wanted, param) in [
        (r#"{"role":"system","content":IMAGE}"#, [false; 5], "content[0].type"),
        (r#"{"role":"assistant","content":IMAGE}"#, [false; 5], "content[0].type"),
        (
            r#"{"role":"tool","tool_call_id":"c","content":IMAGE}"#,
            [true, true, false, false, false],
            "content[0].type",
        ),
        (r#"{"role":"tool","content":"x"}"#, [false; 5], "tool_call_id"),
        (r#"{"role":"function","name":"f","content":"x"}"#, [false; 5], "role"),
        (r#"{"role":"assistant","function_call":{"name":"f","arguments":""}}"#, [false; 5], "function_call"),
        (r#"{"role":"assistant","audio":{"id":"a"}}"#, [false; 5], "audio"),
        (
            r#"{"role":"assistant","tool_calls":[{"type":"custom","custom":{}}]}"#,
            [false; 5],
            "tool_calls[0].type",
        ),
    ] {
        let body = format!(r#"{{"messages":[{}]}}"#, message.replace("IMAGE", IMAGE));
        taken(&body, wanted, &format!("messages[0].{param}"));
    }
}

#[test]
fn a_value_that_changes_nothing_is_no_reason() {
    let body = r#"{"messages":[{"role":"developer","content":"d"},{"role":"user","name":"n","content":[{"type":"text","text":"t"}]},
        {"role":"assistant","content":null,"refusal":null,"audio":null,"function_call":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c","content":"x"}],"logprobs":false,"top_logprobs":0,"logit_bias":{ },"modalities":["text"],
        "frequency_penalty":0.0,"presence_penalty":-0,"n":1,"seed":1,"user":"u","store":true,"metadata":{"a":"b"},"stop":[],
        "verbosity":"medium","truncation":"disabled","audio":null,"functions":[],"parallel_tool_calls":false,"service_tier":"auto",
        "response_format":{"type":"text"},"tool_choice":"auto","stream_options":{},"prompt_cache_key":"k"}"#;
    for kind in ProviderKind::all() {
        assert_eq!(fault(kind, body), None, "{kind}");
    }
}
