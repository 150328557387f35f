use super::{Fallbacks, InvalidRequest, NOT_FOR_PROVIDERS, Naming, Request, not_streamed};
use crate::operation::{FormRules, Rules};
use crate::raw::reads_as;
use crate::{Form, FormPart, Operation, PartContent};

/// As OpenAI's SDKs write an array.
const FALLBACKS_ARRAY: &str = "fallbacks[]";

impl Request {
    /// Reads the form of a submit, and takes out of it what is ours.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn from_form(
        operation: Operation,
        mut form: Form,
        naming: Naming<'_>,
    ) -> Result<Self, InvalidRequest> {
        let Rules::Form(rules) = operation.rules() else {
            return Err(InvalidRequest::other_form("this endpoint takes JSON"));
        };
        check_parts(&form, rules)?;

        let mut targets = naming.primary(form.value("model").unwrap_or_default())?;
        if !form.files().any(|(part, _, _)| rules.files.contains(&part.name.as_str())) {
            return Err(InvalidRequest::rule(rules.param, rules.missing));
        }
        if form.value("stream") == Some("true") {
            return Err(not_streamed(operation, "stream"));
        }
        if form.parts.iter().any(|part| ["fallbacks", FALLBACKS_ARRAY].contains(&&*part.name)) {
            targets.truncate(1);
        }
        let mut fallbacks = Fallbacks { names: &naming, count: 0, targets: &mut targets, wrong: None };
        for part in &form.parts {
            if let ("fallbacks" | FALLBACKS_ARRAY, PartContent::Value(name)) = (&*part.name, &part.content) {
                fallbacks.add(name);
            }
        }
        fallbacks.finish()?;

        form.parts.retain(|part| !is_ours(part));
        Ok(Self { operation, targets, body: form.to_json(), media_bytes: form.media_bytes() })
    }
}

fn is_ours(part: &FormPart) -> bool {
    NOT_FOR_PROVIDERS.iter().chain([&FALLBACKS_ARRAY]).any(|ours| reads_as(&part.name, ours))
}

fn check_parts(form: &Form, rules: &FormRules) -> Result<(), InvalidRequest> {
    if form.parts.len() > Form::MAX_PARTS {
        return Err(InvalidRequest::format(None, format_args!("more than {} parts", Form::MAX_PARTS)));
    }
    // If such a part were taken out, the bytes of the files behind it would stand elsewhere.
    if let Some(part) = form.files().map(|(part, ..)| part).find(|part| is_ours(part)) {
        let what = format_args!("`{}` must be a field, and not a file", part.name);
        return Err(InvalidRequest::format(Some(&part.name), what));
    }
    for name in ["model", "stream"] {
        if form.values(name).nth(1).is_some() {
            return Err(InvalidRequest::format(Some(name), format_args!("`{name}` is given twice")));
        }
    }
    for name in rules.integers {
        if form.values(name).any(|value| !is_integer(value)) {
            return Err(InvalidRequest::rule(name, format!("invalid {name} value: must be an integer")));
        }
    }
    Ok(())
}

/// Whether it is digits, with a sign or without.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> FormPart {
        let content = PartContent::Value(value.to_owned());
        FormPart { name: name.to_owned(), filename: None, content_type: None, content }
    }

    fn file(name: &str, bytes: u64) -> FormPart {
        let filename = Some("a.bin".to_owned());
        FormPart { name: name.to_owned(), filename, content_type: None, content: PartContent::Bytes(bytes) }
    }

    fn read(operation: Operation, parts: Vec<FormPart>) -> Result<Request, InvalidRequest> {
        Request::from_form(operation, Form { parts }, Naming::default())
    }

    #[test]
    fn what_is_ours_is_taken_out_and_the_rest_keeps_its_order() {
        let request = read(
            Operation::Transcription,
            vec![
                field("timestamp_granularities[]", "word"),
                file("file", 5),
                field("MODEL", "no/no"),
                field("fallbacks", "c/d/e"),
                field("model", "a/b"),
                field("Models", "no/no"),
                field("fallbacks[]", "f/g"),
                field("stream", "false"),
                field("\u{17f}tream", "true"),
                field("timestamp_granularities[]", "segment"),
                file("more", 2),
            ],
        )
        .unwrap();
        let targets: Vec<_> = request.targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["a/b", "c/d/e", "f/g"]);
        assert_eq!((request.operation, request.media_bytes), (Operation::Transcription, 7));
        let form = Form::from_json(&request.body).unwrap();
        let names: Vec<_> = form.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["timestamp_granularities[]", "file", "timestamp_granularities[]", "more"]);
        assert_eq!(form.values("timestamp_granularities[]").collect::<Vec<_>>(), ["word", "segment"]);
    }

    #[test]
    fn rules_have_the_contracts_words_in_its_order() {
        let (audio, edit) = (Operation::Transcription, Operation::ImageEdit);
        let model = || field("model", "a/b");
        let cases = [
            (audio, vec![file("file", 1)], "model should be in provider/model format", Some("model")),
            (
                audio,
                vec![field("model", "b"), file("file", 1)],
                "model should be in provider/model format",
                Some("model"),
            ),
            (audio, vec![model(), field("stream", "true")], "file is required", Some("file")),
            (audio, vec![model(), field("file", "text")], "file is required", Some("file")),
            (
                audio,
                vec![model(), file("file", 1), field("stream", "true"), field("fallbacks", "b")],
                "stream is not supported for async transcriptions",
                Some("stream"),
            ),
            (edit, vec![model(), file("mask", 1)], "at least one image is required", Some("image")),
            (
                Operation::ImageVariation,
                vec![model(), field("n", "2"), field("image", "url")],
                "at least one image is required",
                Some("image"),
            ),
            (edit, vec![field("n", "two")], "invalid n value: must be an integer", Some("n")),
            (
                edit,
                vec![model(), file("image[]", 1), field("output_compression", "1.5")],
                "invalid output_compression value: must be an integer",
                Some("output_compression"),
            ),
            (
                edit,
                vec![model(), model(), file("image", 1)],
                "invalid request format: `model` is given twice",
                Some("model"),
            ),
            (
                edit,
                vec![model(), file("Model", 1), file("image", 1)],
                "invalid request format: `Model` must be a field, and not a file",
                Some("Model"),
            ),
            (
                edit,
                vec![model(), file("image", 1), field("fallbacks", "c/d"), field("fallbacks", "b")],
                "invalid request format: `fallbacks[1]` should be in provider/model format",
                Some("fallbacks"),
            ),
            (audio, vec![field("x", ""); 1025], "invalid request format: more than 1024 parts", None),
            (
                Operation::ChatCompletion,
                vec![model()],
                "failed to parse multipart form: this endpoint takes JSON",
                None,
            ),
        ];
        for (operation, parts, message, param) in cases {
            let error = read(operation, parts).unwrap_err();
            assert_eq!((error.message.as_str(), error.param.as_deref()), (message, param), "{operation}");
        }
        for image in ["image", "image[]"] {
            let parts = vec![model(), field("n", "2"), field("stream", "1"), file(image, 0)];
            assert_eq!(read(edit, parts).unwrap().targets.len(), 1);
        }
        let fallbacks = |count: usize| {
            let mut parts = vec![field("fallbacks", "c/d"); count];
            parts.extend([model(), file("file", 1)]);
            read(audio, parts).map(|request| request.targets.len())
        };
        assert_eq!(fallbacks(128), Ok(129));
        assert!(fallbacks(129).unwrap_err().message.ends_with("has 129 entries, the limit is 128"));
    }
}
