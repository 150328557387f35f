use hermod_types::Operation;

use super::{Body, Field, Input};

fn input() -> Input {
    Input { model: Some("a/b".to_owned()), ..Input::default() }
}

fn json(input: &Input, operation: Operation, text: &str) -> String {
    match input.body(operation, Some(text)).unwrap() {
        Body::Json(json) => json,
        Body::Form(form) => panic!("{form:?}"),
    }
}

fn error(input: &Input, operation: Operation, text: Option<&str>) -> String {
    input.body(operation, text).unwrap_err().to_string()
}

#[test]
fn each_endpoint_has_the_text_where_it_looks_for_it() {
    let spoken = Input { voice: Some("alloy".to_owned()), ..input() };
    let ranked = Input { documents: vec!["x".to_owned(), "y".to_owned()], ..input() };
    let most = Input { max_tokens: Some(5), ..input() };
    let both = Input { system: Some("Be \"short\"".to_owned()), ..most.clone() };
    for (input, operation, body) in [
        (&most, Operation::TextCompletion, r#""prompt":"t","max_tokens":5"#),
        (
            &both,
            Operation::ChatCompletion,
            r#""messages":[{"content":"Be \"short\"","role":"system"},{"content":"t","role":"user"}],"max_completion_tokens":5"#,
        ),
        (&both, Operation::Responses, r#""input":"t","instructions":"Be \"short\"","max_output_tokens":5"#),
        (&input(), Operation::Embedding, r#""input":"t""#),
        (&spoken, Operation::Speech, r#""input":"t","voice":"alloy""#),
        (&input(), Operation::ImageGeneration, r#""prompt":"t""#),
        (&ranked, Operation::Rerank, r#""query":"t","documents":["x","y"]"#),
    ] {
        assert_eq!(json(input, operation, "t"), format!(r#"{{"model":"a/b",{body}}}"#));
    }
    let document = json(&input(), Operation::Ocr, "https://x.example/a.pdf");
    let expected = r#"{"document_url":"https://x.example/a.pdf","type":"document_url"}"#;
    assert!(document.contains(expected), "{document}");
    let image = json(&input(), Operation::Ocr, "https://x.example/a.png?b=c.pdf");
    assert!(
        image.contains(r#"{"image_url":"https://x.example/a.png?b=c.pdf","type":"image_url"}"#),
        "{image}"
    );
}

#[test]
fn other_members_are_json_or_text() {
    let field = |text: &str| text.parse::<Field>().unwrap();
    let fields = ["dimensions=16", "user=me", r#"a={"z": 1.10, "b": [1e400]}"#, "empty=", "eq=a=b"];
    let input = Input { fields: fields.map(field).to_vec(), fallbacks: vec!["c/d".to_owned()], ..input() };
    assert_eq!(
        json(&input, Operation::Embedding, "t"),
        r#"{"model":"a/b","input":"t","fallbacks":["c/d"],"dimensions":16,"user":"me","a":{"z": 1.10, "b": [1e400]},"empty":"","eq":"a=b"}"#
    );
    assert!("no".parse::<Field>().is_err() && "=no".parse::<Field>().is_err());
}

#[test]
fn a_whole_body_passes_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.json");
    let text = r#"{"messages": [{"role": "user", "content": "é"}], "model":"own/model", "seed":1.10, "fallbacks":["x/y"]}"#;
    std::fs::write(&path, text).unwrap();
    let own = Input { json: Some(path.clone()), ..Input::default() };
    let body = |input: &Input| match input.body(Operation::ChatCompletion, None).unwrap() {
        Body::Json(json) => json,
        Body::Form(form) => panic!("{form:?}"),
    };
    assert_eq!(
        body(&own),
        r#"{"messages":[{"role": "user", "content": "é"}],"model":"own/model","seed":1.10,"fallbacks":["x/y"]}"#
    );
    let other = Input { fallbacks: vec!["c/d".to_owned()], json: Some(path.clone()), ..input() };
    assert_eq!(
        body(&other),
        r#"{"messages":[{"role": "user", "content": "é"}],"seed":1.10,"model":"a/b","fallbacks":["c/d"]}"#
    );
    assert!(error(&own, Operation::Transcription, None).contains("--file"));
    assert!(error(&own, Operation::ChatCompletion, Some("x")).contains("whole body"));
    std::fs::write(&path, "[]").unwrap();
    assert!(error(&own, Operation::ChatCompletion, None).contains("--json: expected a JSON object"));
}

#[test]
fn a_form_has_its_fields_before_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, name).unwrap();
        path
    };
    let input = Input {
        files: vec![path("a.png"), path("b.png")],
        mask: Some(path("mask.png")),
        fields: vec!["size=1x1".parse().unwrap()],
        fallbacks: vec!["c/d".to_owned(), "e/f".to_owned()],
        ..input()
    };
    let Body::Form(form) = input.body(Operation::ImageEdit, Some("red")).unwrap() else {
        panic!("not a form")
    };
    let fields: Vec<_> = form.fields().collect();
    assert_eq!(
        fields,
        [("model", "a/b"), ("fallbacks", "c/d"), ("fallbacks", "e/f"), ("prompt", "red"), ("size", "1x1")]
    );
    let files: Vec<_> = form.files().collect();
    assert_eq!(files, [("image[]", "a.png"), ("image[]", "b.png"), ("mask", "mask.png")]);
    assert_eq!(form.bytes(), 5 + 5 + 8);
    assert_eq!(
        error(&Input { mask: None, ..input }, Operation::Transcription, None),
        "transcriptions takes one --file"
    );
}

#[test]
fn a_document_may_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pdf");
    std::fs::write(&path, "%PDF").unwrap();
    let input = Input { files: vec![path], ..input() };
    let Body::Json(body) = input.body(Operation::Ocr, None).unwrap() else { panic!("not JSON") };
    assert!(
        body.contains(r#"{"document_url":"data:application/pdf;base64,JVBERg==","type":"document_url"}"#),
        "{body}"
    );
    assert!(error(&input, Operation::Ocr, Some("https://x")).contains("one document"));
}

#[test]
fn what_is_missing_or_out_of_place_is_named() {
    let missing = |name: &str| Input { files: vec![name.into()], ..input() };
    let spoken = Input { voice: Some("alloy".to_owned()), ..input() };
    for (input, operation, text, said) in [
        (&Input::default(), Operation::TextCompletion, Some("x"), "--model is missing: provider/model"),
        (
            &input(),
            Operation::TextCompletion,
            None,
            "completion needs a text: hermod submit completion --model MODEL TEXT",
        ),
        (
            &input(),
            Operation::ChatCompletion,
            None,
            "chat needs a text: hermod submit chat --model MODEL TEXT",
        ),
        (&input(), Operation::Transcription, None, "transcriptions needs --file"),
        (&input(), Operation::ImageEdit, Some("x"), "edits needs --file"),
        (&input(), Operation::Speech, Some("x"), "speech needs --voice, such as alloy at OpenAI"),
        (&input(), Operation::Rerank, Some("x"), "rerank needs --document, once for each document"),
        (&input(), Operation::Ocr, None, "ocr needs one document: its URL, or --file"),
        (&spoken, Operation::ChatCompletion, Some("x"), "--voice is for speech, not for chat"),
        (&missing("/nowhere"), Operation::Transcription, None, "cannot read /nowhere"),
        (&missing("/"), Operation::ImageVariation, None, "/ is not a file"),
        (&missing("/"), Operation::ImageVariation, Some("x"), "variations takes no text"),
        (
            &missing("/"),
            Operation::Embedding,
            Some("x"),
            "--file is for transcriptions, edits, variations, ocr, not for embeddings",
        ),
    ] {
        assert_eq!(error(input, operation, text), said);
    }
}
