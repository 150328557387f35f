//! `multipart/form-data` to a provider: <https://www.rfc-editor.org/rfc/rfc7578>

use hermod_types::{Form, FormPart, PartContent};

use crate::payload::{Encoding, Segment};

/// A form that is being written.
pub(crate) struct Multipart {
    boundary: String,
    segments: Vec<Segment>,
}

impl Multipart {
    pub(crate) fn new() -> Self {
        Self { boundary: format!("hermod-{:032x}", fastrand::u128(..)), segments: Vec::new() }
    }

    /// The client's form as it came, behind the model.
    pub(crate) fn native(model: &str, form: &Form) -> Self {
        let mut multipart = Self::new();
        multipart.field("model", model);
        let mut files = form.files().map(|(_, start, _)| start);
        for part in &form.parts {
            let start = if matches!(part.content, PartContent::Bytes(_)) { files.next() } else { None };
            multipart.part(part, &part.name, start.unwrap_or_default());
        }
        multipart
    }

    pub(crate) fn field(&mut self, name: &str, value: &str) {
        self.head(name, None, None);
        self.text(&format!("{value}\r\n"));
    }

    /// A part of the client's under a name. The bytes of a file begin at `start` of the job's media.
    pub(crate) fn part(&mut self, part: &FormPart, name: &str, start: u64) {
        self.head(name, part.filename.as_deref(), part.content_type.as_deref());
        match &part.content {
            PartContent::Value(text) => self.text(text),
            PartContent::Bytes(bytes) => {
                self.segments.push(Segment::Media { start, bytes: *bytes, encoding: Encoding::Raw });
            }
        }
        self.text("\r\n");
    }

    /// The value of `Content-Type`, and the body.
    pub(crate) fn finish(mut self) -> (String, Vec<Segment>) {
        self.text(&format!("--{}--\r\n", self.boundary));
        (format!("multipart/form-data; boundary={}", self.boundary), self.segments)
    }

    fn head(&mut self, name: &str, filename: Option<&str>, content_type: Option<&str>) {
        let mut head =
            format!("--{}\r\nContent-Disposition: form-data; name=\"{}\"", self.boundary, quoted(name));
        if let Some(filename) = filename {
            head.push_str(&format!("; filename=\"{}\"", quoted(filename)));
        }
        head.push_str("\r\n");
        // What came as a header cannot hold a line break.
        if let Some(content_type) = content_type.filter(|value| !value.contains(['\r', '\n'])) {
            head.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        head.push_str("\r\n");
        self.text(&head);
    }

    fn text(&mut self, text: &str) {
        match self.segments.last_mut() {
            Some(Segment::Text(last)) => last.push_str(text),
            Some(Segment::Media { .. }) | None => self.segments.push(Segment::Text(text.to_owned())),
        }
    }
}

/// As browsers write a name: <https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_order_names_types_and_repeats() {
        let part = |name: &str, content| FormPart {
            name: name.to_owned(),
            filename: None,
            content_type: None,
            content,
        };
        let form = Form {
            parts: vec![
                part("granularity[]", PartContent::Value("word".to_owned())),
                FormPart {
                    filename: Some("a\"b.mp3".to_owned()),
                    content_type: Some("audio/mpeg".to_owned()),
                    ..part("file", PartContent::Bytes(3))
                },
                part("granularity[]", PartContent::Value("segment".to_owned())),
            ],
        };
        let (content_type, segments) = Multipart::native("whisper", &form).finish();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body: String = segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => text.clone(),
                Segment::Media { start, bytes, .. } => format!("<{start}+{bytes}>"),
            })
            .collect();
        let expected = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n\
            --B\r\nContent-Disposition: form-data; name=\"granularity[]\"\r\n\r\nword\r\n\
            --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22b.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n<0+3>\r\n\
            --B\r\nContent-Disposition: form-data; name=\"granularity[]\"\r\n\r\nsegment\r\n--B--\r\n";
        assert_eq!(body, expected.replace("--B", &format!("--{boundary}")));
    }
}
