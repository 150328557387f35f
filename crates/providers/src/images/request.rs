use std::borrow::Cow;

use hermod_types::{BodyForm, Form, Operation, PartContent, RawObject};

use crate::literal::Literal;
use crate::payload::Upload;

/// A request for images, in OpenAI's form: <https://platform.openai.com/docs/api-reference/images>
#[derive(Debug)]
pub(crate) struct ImageRequest<'a> {
    /// Generation, edit or variation.
    pub(crate) operation: Operation,
    pub(crate) prompt: Option<Literal<'a>>,
    /// Images to make.
    pub(crate) n: usize,
    /// What an edit or a variation begins with. Where there are files called `image[]`, those called `image` do not count.
    pub(crate) images: Vec<Upload>,
    pub(crate) mask: Option<Upload>,
    /// All other members that have a value, as JSON; of a form's fields the first of each name. What changes nothing is not among them:
    /// `user`, a value of `auto`, images in between for who watches a stream, and base64 as the form of an image.
    pub(crate) members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> ImageRequest<'a> {
    pub(crate) fn parse(operation: Operation, body: &'a str) -> Option<Self> {
        let mut request =
            Self { operation, prompt: None, n: 1, images: Vec::new(), mask: None, members: Vec::new() };
        match operation.form() {
            BodyForm::Json => {
                let object: RawObject<'a> = serde_json::from_str(body).ok()?;
                for (name, value) in object.into_members().filter(|(_, value)| value.get() != "null") {
                    request.take(name, Cow::Borrowed(value.get()))?;
                }
            }
            BodyForm::Multipart => request.read_form(Form::from_json(body)?)?,
        }
        Some(request)
    }

    fn read_form(&mut self, form: Form) -> Option<()> {
        let files = |name: &str| -> Vec<Upload> {
            let named = form.files().filter(|(part, ..)| part.name == name);
            named.map(|(part, start, bytes)| Upload::of(part, start, bytes)).collect()
        };
        self.images = files("image[]");
        if self.images.is_empty() {
            self.images = files("image");
        }
        self.mask = files("mask").into_iter().next();
        for part in form.parts {
            if let PartContent::Value(text) = part.content
                && self.member(&part.name).is_none()
            {
                let json = field(&part.name, text);
                self.take(part.name.into(), json.into())?;
            }
        }
        Some(())
    }

    fn take(&mut self, name: Cow<'a, str>, json: Cow<'a, str>) -> Option<()> {
        match name.as_ref() {
            "user" | "partial_images" => {}
            "size" | "quality" | "background" | "moderation" if json == "\"auto\"" => {}
            "response_format" if json == "\"b64_json\"" => {}
            "n" => self.n = json.parse().ok().filter(|n| *n > 0)?,
            "prompt" => {
                self.prompt = Some(match json {
                    Cow::Borrowed(json) => Literal::from_json(json)?,
                    Cow::Owned(json) => Literal::from_json(&json)?.into_owned(),
                });
            }
            _ => self.members.push((name, json)),
        }
        Some(())
    }

    /// The JSON of a member.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(own, _)| own == name).map(|(_, json)| json.as_ref())
    }

    /// The text of a member.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = Literal::from_json(self.member(name)?)?.decode().into_owned();
        Some(Cow::Owned(text))
    }

    /// Width and height in pixels of a `size` like `1024x768`. None if there is no such size.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        let size = self.text("size")?;
        let (width, height) = size.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    }
}

/// The JSON that a form's field stands for: numbers and booleans have no quotes there either, but a prompt of any kind is text.
fn field(name: &str, text: String) -> String {
    let is_text = name.to_ascii_lowercase().ends_with("prompt");
    match text.parse::<i64>() {
        // A form may have `+2` and `007`, which no JSON has.
        Ok(whole) if !is_text => whole.to_string(),
        Ok(_) | Err(_) => {
            let is_json = serde_json::from_str::<serde_json::Number>(&text).is_ok()
                || serde_json::from_str::<bool>(&text).is_ok();
            if is_json && !is_text { text } else { Literal::of(&text).as_json().to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::FormPart;

    use super::*;

    #[test]
    fn a_generation_is_read_as_it_was_written() {
        let body = r#"{"prompt":"caf\u00e9","n":3,"size":"1024x768","seed":7,"style":null,"user":"u","quality":"auto",
            "response_format":"b64_json"}"#;
        let request = ImageRequest::parse(Operation::ImageGeneration, body).unwrap();
        assert_eq!(request.prompt.as_ref().map(Literal::as_json), Some(r#""caf\u00e9""#));
        assert_eq!((request.n, request.size(), request.member("seed")), (3, Some((1024, 768)), Some("7")));
        assert_eq!(request.members.len(), 2);
        assert!(ImageRequest::parse(Operation::ImageGeneration, r#"{"prompt":"x","n":0}"#).is_none());
    }

    #[test]
    fn an_edit_has_files_and_fields() {
        let part = |name: &str, content| FormPart {
            name: name.to_owned(),
            filename: None,
            content_type: Some("image/png".to_owned()),
            content,
        };
        let value = |text: &str| PartContent::Value(text.to_owned());
        let form = Form {
            parts: vec![
                part("image", PartContent::Bytes(5)),
                part("mask", PartContent::Bytes(2)),
                part("image[]", PartContent::Bytes(3)),
                part("prompt", value("7")),
                part("n", value("2")),
                part("seed", value("9")),
                part("seed", value("10")),
                part("size", value("auto")),
            ],
        };
        let body = form.to_json();
        let request = ImageRequest::parse(Operation::ImageEdit, &body).unwrap();
        let places = |uploads: &[Upload]| -> Vec<(u64, u64)> {
            uploads.iter().map(|upload| (upload.start, upload.bytes)).collect()
        };
        assert_eq!(places(&request.images), [(7, 3)], "image[] wins");
        assert_eq!(request.mask.as_ref().map(|mask| (mask.start, mask.bytes)), Some((5, 2)));
        assert_eq!(request.prompt.as_ref().map(Literal::as_json), Some("\"7\""));
        assert_eq!((request.n, request.member("seed"), request.size()), (2, Some("9"), None));
    }

    #[test]
    fn an_integer_may_be_written_as_in_a_form() {
        for (text, json) in
            [("+2", "2"), ("007", "7"), ("-1", "-1"), ("1.50", "1.50"), ("true", "true"), ("+", "\"+\"")]
        {
            assert_eq!(field("seed", text.to_owned()), json);
        }
        assert_eq!(field("prompt", "007".to_owned()), "\"007\"");
        let form = r#"{"parts":[{"name":"image","bytes":1},{"name":"n","value":"+2"}]}"#;
        assert_eq!(ImageRequest::parse(Operation::ImageEdit, form).unwrap().n, 2);
    }
}
