use super::*;
use crate::{InvalidRequest, Request};

const MODEL: &str = r#""model":"a/b""#;

fn parse(operation: Operation, members: &str) -> Result<Request, InvalidRequest> {
    Request::parse(operation, format!("{{{MODEL},{members}}}").as_bytes(), crate::Naming::default())
}

fn refused(operation: Operation, members: &str) -> (String, String) {
    let Err(error) = parse(operation, members) else { panic!("{operation}: {members}") };
    (error.message, error.param.unwrap_or_default())
}

/// What is the least that an operation takes.
fn least(operation: Operation) -> &'static str {
    match operation {
        Operation::TextCompletion | Operation::ImageGeneration => r#""prompt":"x""#,
        Operation::ChatCompletion => r#""messages":[{"role":"user","content":"x"}]"#,
        Operation::Messages => r#""max_tokens":1,"messages":[{"role":"user","content":"x"}]"#,
        Operation::Responses | Operation::Embedding => r#""input":"x""#,
        Operation::Speech => r#""input":"x","voice":"alloy""#,
        Operation::Rerank => r#""query":"x","documents":["y"]"#,
        Operation::Ocr => r#""document":{"type":"document_url","document_url":"https://x"}"#,
        Operation::Transcription | Operation::ImageEdit | Operation::ImageVariation => "",
    }
}

fn json() -> impl Iterator<Item = Operation> {
    Operation::all().filter(|operation| operation.form() == BodyForm::Json)
}

#[test]
fn each_endpoint_takes_the_least_and_refuses_a_stream_in_its_own_words() {
    assert_eq!(json().count(), 9);
    for operation in json() {
        let least = least(operation);
        let request = parse(operation, least).unwrap();
        assert_eq!((request.body, request.operation), (format!("{{{least}}}"), operation));
        let request = parse(operation, &format!(r#"{least},"stream":false"#)).unwrap();
        assert_eq!(request.body, format!("{{{least}}}"));
        let stream = refused(operation, &format!(r#"{least},"stream":true"#));
        let words = match operation.is_public() {
            true => format!("stream is not supported for async {}", operation.plural()),
            false => "streaming is not supported for async requests".to_owned(),
        };
        assert_eq!(stream, (words, "stream".to_owned()));
        let nothing = refused(operation, r#""stream":true"#).0;
        assert!(!nothing.contains("stream"), "what is required comes first: {nothing}");
    }
    let form = Request::parse(Operation::Transcription, b"{}", crate::Naming::default()).unwrap_err();
    assert_eq!(form.message, "failed to parse multipart form: this endpoint takes multipart/form-data");
}

#[test]
fn what_is_required_is_said_in_the_contracts_words() {
    const CHAT: &str = "messages is required for chat completion";
    const RESPONSES: &str = "input is required for responses";
    const EMBEDDING: &str = "input is required for embeddings";
    const SPEECH: &str = "input is required for speech completion";
    const VOICE: &str = "voice is required for speech completion";
    const NO_VOICE: &str = "voice config has empty voice field";
    const IMAGE: &str = "prompt cannot be empty";
    const QUERY: &str = "query is required for rerank";
    const DOCUMENTS: &str = "documents are required for rerank";
    const TOP_N: &str = "top_n must be at least 1";
    const OCR: &str = "document type is required for ocr";
    const OCR_URL: &str = "document_url is required when document type is document_url";
    const OCR_IMAGE: &str = "image_url is required when document type is image_url";
    for (operation, members, message, param) in [
        (Operation::ChatCompletion, r#""a":1"#, CHAT, "messages"),
        (Operation::ChatCompletion, r#""messages":null"#, CHAT, "messages"),
        (Operation::ChatCompletion, r#""messages":[ ]"#, CHAT, "messages"),
        (Operation::Responses, r#""input":[]"#, RESPONSES, "input"),
        (Operation::Responses, r#""input":null"#, RESPONSES, "input"),
        (Operation::Embedding, r#""input":[]"#, EMBEDDING, "input"),
        (Operation::Speech, r#""voice":"a""#, SPEECH, "input"),
        (Operation::Speech, r#""voice":"a","input":"""#, SPEECH, "input"),
        (Operation::Speech, r#""input":"a""#, VOICE, "voice"),
        (Operation::Speech, r#""input":"a","voice":"""#, VOICE, "voice"),
        (Operation::Speech, r#""input":"a","voice":[]"#, VOICE, "voice"),
        (
            Operation::Speech,
            r#""input":"a","voice":[{"speaker":"A","voice":"x"},{"speaker":"B","voice":""}]"#,
            NO_VOICE,
            "voice[1].voice",
        ),
        (Operation::Speech, r#""input":"a","voice":[{"speaker":"A"}]"#, NO_VOICE, "voice[0].voice"),
        (Operation::ImageGeneration, r#""n":1"#, IMAGE, "prompt"),
        (Operation::ImageGeneration, r#""prompt":"""#, IMAGE, "prompt"),
        (Operation::Rerank, r#""documents":["a"]"#, QUERY, "query"),
        (Operation::Rerank, r#""documents":["a"],"query":" \t""#, QUERY, "query"),
        (Operation::Rerank, r#""query":"a""#, DOCUMENTS, "documents"),
        (Operation::Rerank, r#""query":"a","documents":[]"#, DOCUMENTS, "documents"),
        (
            Operation::Rerank,
            r#""query":"a","documents":["a","\n"]"#,
            "document text is required for rerank at index 1",
            "documents[1]",
        ),
        (
            Operation::Rerank,
            r#""query":"a","documents":[{"id":1}]"#,
            "document text is required for rerank at index 0",
            "documents[0]",
        ),
        (Operation::Rerank, r#""query":"a","documents":["a"],"top_n":0"#, TOP_N, "top_n"),
        (Operation::Rerank, r#""query":"a","documents":["a"],"top_n":-2"#, TOP_N, "top_n"),
        (Operation::Ocr, r#""pages":[0]"#, OCR, "document.type"),
        (Operation::Ocr, r#""document":{"document_url":"x"}"#, OCR, "document.type"),
        (Operation::Ocr, r#""document":{"type":""}"#, OCR, "document.type"),
        (
            Operation::Ocr,
            r#""document":{"type":"document_url","image_url":"x"}"#,
            OCR_URL,
            "document.document_url",
        ),
        (
            Operation::Ocr,
            r#""document":{"type":"image_url","image_url":""}"#,
            OCR_IMAGE,
            "document.image_url",
        ),
    ] {
        let found = refused(operation, members);
        assert_eq!(found, (message.to_owned(), param.to_owned()), "{operation}: {members}");
    }
}

#[test]
fn what_clients_write_passes_as_they_wrote_it() {
    for (operation, members) in [
        (
            Operation::ChatCompletion,
            r#""messages":[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"a"}]},
               {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,","detail":null}},
                   {"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"file_id":"f"}},
                   {"type":"video_of_tomorrow","text":7,"image_url":1e400}]},
               {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1.0}"}},
                   {"id":"d","type":"custom","custom":{"name":"x","input":"y"}}]},
               {"role":"tool","tool_call_id":"c","content":"1"},{"role":"function","name":"f","content":null},
               {"role":"assistant"}],
           "tools":[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":{"n":1e400}},"strict":true}},{"type":"custom","custom":{}}],
           "tool_choice":"auto","stop":"x","response_format":{"type":"json_schema"},"reasoning":{"effort":"low","max_tokens":1024},
           "top_k":40,"logit_bias":{"1":-1},"metadata":{},"modalities":["text"]"#,
        ),
        (
            Operation::ChatCompletion,
            r#""messages":[{"role":"user","content":"x"}],"stop":["a"],"tool_choice":{"type":"function"}"#,
        ),
        (
            Operation::Responses,
            r#""input":[{"role":"user","content":"x"},{"id":"msg_1"},{"type":"web_search_call","action":{}}]"#,
        ),
        (
            Operation::Responses,
            r#""input":[{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:,"}]},
               {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
               {"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"x"}]}],
            "tools":[{"type":"web_search"},{"type":"function","name":"f","parameters":null}],"conversation":{"id":"c"},
            "text":{"format":{"type":"text"}},"reasoning":{"effort":"low"}"#,
        ),
        (Operation::Embedding, r#""input":["a","b"],"dimensions":8,"input_type":"x""#),
        (Operation::Embedding, r#""input":[[1,2],[3]]"#),
        (Operation::Embedding, r#""input":[{"text":"a"},{"image":{}}]"#),
        (Operation::Speech, r#""input":"x","voice":[{"speaker":"A","voice":"x"}],"stream_format":"audio""#),
        (Operation::ImageGeneration, r#""prompt":"x","n":2,"input_images":["a"],"background":"transparent""#),
        (Operation::Rerank, r#""query":"x","documents":["a",{"text":"b","id":7,"meta":{}}],"top_n":1"#),
        (Operation::Ocr, r#""document":{"type":"image_url","image_url":{"url":"x"}},"pages":[0,1]"#),
        (Operation::Ocr, r#""document":{"type":"file","file_id":"f"},"bbox_annotation_format":{}"#),
    ] {
        // Between members of the request's own object, white space goes.
        let body = parse(operation, members).unwrap_or_else(|error| panic!("{operation}: {error}")).body;
        let without = |text: &str| text.split_ascii_whitespace().collect::<String>();
        assert_eq!(without(&body), without(&format!("{{{members}}}")), "{operation}");
    }
}

#[test]
fn a_wrong_type_is_named_by_its_path() {
    const CHAT: Operation = Operation::ChatCompletion;
    let message = |members: &str| format!(r#""messages":[{{"role":"user","content":"x"}},{members}]"#);
    let part = |part: &str| {
        message(&format!(r#"{{"role":"user","content":[{{"type":"text","text":"x"}},{part}]}}"#))
    };
    let with = |more: &str| format!("{},{more}", least(CHAT));
    for (operation, members, param, what) in [
        (CHAT, r#""messages":"x""#.to_owned(), "messages", "must be an array"),
        (CHAT, message("null"), "messages[1]", "must be an object"),
        (CHAT, message("\"a\\n\""), "messages[1]", "must be an object"),
        (CHAT, message("1e400"), "messages[1]", "must be an object"),
        (CHAT, message("{}"), "messages[1].role", "is required"),
        (CHAT, message(r#"{"role":7}"#), "messages[1].role", "must be a string"),
        (
            CHAT,
            message(r#"{"role":"robot"}"#),
            "messages[1].role",
            "must be one of system, developer, user, assistant, tool, function",
        ),
        (CHAT, message(r#"{"role":"user"}"#), "messages[1].content", "is required"),
        (CHAT, message(r#"{"role":"tool","content":null}"#), "messages[1].content", "is required"),
        (
            CHAT,
            message(r#"{"role":"user","content":7}"#),
            "messages[1].content",
            "must be a string or an array",
        ),
        (
            CHAT,
            message(r#"{"role":"user","content":"a","role":"system"}"#),
            "messages[1].role",
            "is given twice",
        ),
        (CHAT, part("\"x\""), "messages[1].content[1]", "must be an object"),
        (CHAT, part("{}"), "messages[1].content[1].type", "is required"),
        (CHAT, part(r#"{"type":"text"}"#), "messages[1].content[1].text", "is required"),
        (CHAT, part(r#"{"type":"text","text":[]}"#), "messages[1].content[1].text", "must be a string"),
        (
            CHAT,
            part(r#"{"type":"image_url","image_url":{"url":7}}"#),
            "messages[1].content[1].image_url.url",
            "must be a string",
        ),
        (
            CHAT,
            part(r#"{"type":"image_url","image_url":"x"}"#),
            "messages[1].content[1].image_url",
            "must be an object",
        ),
        (
            CHAT,
            message(r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]}"#),
            "messages[1].tool_calls[0].function.arguments",
            "must be a string",
        ),
        (
            CHAT,
            message(r#"{"role":"assistant","tool_calls":[{"type":"function","function":{}}]}"#),
            "messages[1].tool_calls[0].function.name",
            "is required",
        ),
        (
            CHAT,
            with(r#""tools":[{"type":"function","function":{"name":"f","parameters":"{}"}}]"#),
            "tools[0].function.parameters",
            "must be an object",
        ),
        (
            CHAT,
            with(r#""tools":[{"type":"function","function":{"name":1}}]"#),
            "tools[0].function.name",
            "must be a string",
        ),
        (CHAT, with(r#""tool_choice":1"#), "tool_choice", "must be a string or an object"),
        (CHAT, with(r#""stop":[1]"#), "stop", "must be a string or an array of strings"),
        (CHAT, with(r#""reasoning":{"max_tokens":"1"}"#), "reasoning.max_tokens", "must be an integer"),
        (CHAT, with(r#""logprobs":5"#), "logprobs", "must be a boolean"),
        (CHAT, with(r#""modalities":"text""#), "modalities", "must be an array of strings"),
        (Operation::Responses, r#""input":7"#.to_owned(), "input", "must be a string or an array"),
        (
            Operation::Responses,
            r#""input":[{"role":"user","content":[{"type":"input_text","text":1}]}]"#.to_owned(),
            "input[0].content[0].text",
            "must be a string",
        ),
        (
            Operation::Responses,
            r#""input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]"#.to_owned(),
            "input[0].arguments",
            "must be a string",
        ),
        (
            Operation::Responses,
            r#""input":"x","background":"yes""#.to_owned(),
            "background",
            "must be a boolean",
        ),
        (
            Operation::Embedding,
            r#""input":[{},1]"#.to_owned(),
            "input",
            "must be a string, or an array of strings, of token ids, of arrays of token ids, or of objects",
        ),
        (
            Operation::Speech,
            r#""input":"x","voice":{"id":"v"}"#.to_owned(),
            "voice",
            "must be a string or an array",
        ),
        (
            Operation::Speech,
            r#""input":"x","voice":[{"speaker":1}]"#.to_owned(),
            "voice[0].speaker",
            "must be a string",
        ),
        (Operation::Rerank, r#""query":"x","documents":"y""#.to_owned(), "documents", "must be an array"),
        (
            Operation::Rerank,
            r#""query":"x","documents":["y",7]"#.to_owned(),
            "documents[1]",
            "must be a string or an object",
        ),
        (
            Operation::Ocr,
            r#""document":{"type":"a","document_url":7}"#.to_owned(),
            "document.document_url",
            "must be a string",
        ),
        (Operation::ImageGeneration, r#""prompt":"x","seed":1.5"#.to_owned(), "seed", "must be an integer"),
    ] {
        let found = refused(operation, &members);
        assert_eq!(
            found,
            (format!("invalid request format: `{param}` {what}"), param.to_owned()),
            "{members}"
        );
    }
}

#[test]
fn an_object_whose_members_are_looked_at_has_a_bound() {
    let content = |count: usize| {
        let more: Vec<_> = (2..count).map(|number| format!(r#","x{number}":0"#)).collect();
        format!(r#""messages":[{{"role":"user","content":"x"{}}}]"#, more.concat())
    };
    assert!(parse(Operation::ChatCompletion, &content(1024)).is_ok());
    let (message, param) = refused(Operation::ChatCompletion, &content(1025));
    assert_eq!(
        (message.as_str(), param.as_str()),
        ("invalid request format: `messages[0]` has more than 1024 members", "messages[0]")
    );
    // A schema, and what else is not looked at, is the provider's matter.
    let metadata: Vec<_> = (0..2000).map(|number| format!(r#""x{number}":0"#)).collect();
    let members = format!(r#"{},"metadata":{{{}}}"#, least(Operation::ChatCompletion), metadata.join(","));
    assert!(parse(Operation::ChatCompletion, &members).is_ok());
}

#[test]
fn two_ways_to_say_one_thing_are_refused() {
    for (short, value, long) in [
        ("reasoning_effort", "\"low\"", "effort"),
        ("reasoning_max_tokens", "1", "max_tokens"),
        ("reasoning_display", "\"x\"", "display"),
    ] {
        let members = |reasoning: &str| {
            format!(r#"{},"{short}":{value},"reasoning":{reasoning}"#, least(Operation::ChatCompletion))
        };
        let message = format!("both {short} and reasoning.{long} cannot be present at the same time");
        let found = refused(Operation::ChatCompletion, &members(&format!(r#"{{"{long}":{value}}}"#)));
        assert_eq!(found, (message, short.to_owned()));
        for reasoning in ["{}", "null", &format!(r#"{{"{long}":null}}"#)] {
            assert!(parse(Operation::ChatCompletion, &members(reasoning)).is_ok(), "{reasoning}");
        }
    }
}

#[test]
fn speech_as_events_is_a_stream() {
    let members = |format: &str| format!(r#""input":"x","voice":"a","stream_format":{format}"#);
    let refusal = ("stream is not supported for async speech".to_owned(), "stream_format".to_owned());
    assert_eq!(refused(Operation::Speech, &members("\"sse\"")), refusal);
    assert_eq!(refused(Operation::Speech, &members("\"\\u0073se\"")), refusal);
    assert!(parse(Operation::Speech, &members("\"audio\"")).unwrap().body.contains("stream_format"));
}

#[test]
fn no_provider_is_told_to_work_in_the_background() {
    let members = r#""input":"x","background":true,"BACKGROUND":true,"store":true"#;
    assert_eq!(parse(Operation::Responses, members).unwrap().body, r#"{"input":"x","store":true}"#);
    // To images it is another thing.
    let image = r#""prompt":"x","background":"auto""#;
    assert_eq!(parse(Operation::ImageGeneration, image).unwrap().body, format!("{{{image}}}"));
}

#[test]
fn a_model_without_a_provider_is_the_default_providers() {
    let parse = |model: &str, fallback: &str, default| {
        let body = format!(r#"{{"model":"{model}","input":"x","fallbacks":["{fallback}"]}}"#);
        let request = Request::parse(
            Operation::Responses,
            body.as_bytes(),
            crate::Naming { default_provider: default, choose: None },
        );
        request.map(|request| request.targets.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(parse("gpt", "mini", Some("openai")).unwrap(), ["openai/gpt", "openai/mini"]);
    assert_eq!(parse("azure/gpt", "groq/a/b", Some("openai")).unwrap(), ["azure/gpt", "groq/a/b"]);
    assert_eq!(parse("gpt", "a/b", None).unwrap_err().param.as_deref(), Some("model"));
    assert_eq!(parse("", "a/b", Some("openai")).unwrap_err().param.as_deref(), Some("model"));
    assert_eq!(parse("gpt", "", Some("openai")).unwrap_err().param.as_deref(), Some("fallbacks"));
}

#[test]
fn each_row_is_found_by_its_names() {
    for operation in Operation::all() {
        assert_eq!(Operation::from_path(operation.path()), operation.is_public().then_some(operation));
        assert_eq!(Operation::from_record_type(operation.record_type()), Some(operation));
    }
    let forms = [Operation::Transcription, Operation::ImageEdit, Operation::ImageVariation];
    for operation in Operation::all() {
        assert_eq!(operation.form() == BodyForm::Multipart, forms.contains(&operation), "{operation}");
    }
}
