use serde::{Deserialize, Serialize};

/// A `multipart/form-data` body, less the contents of its files: those stand one behind the other in the job's media, in the order of
/// the parts. As JSON it is the body of such a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// In the order in which the client wrote them, repeats included.
    pub parts: Vec<FormPart>,
}

/// One part of a [`Form`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormPart {
    /// The field's name.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(flatten)]
    pub content: PartContent,
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartContent {
    /// The text of a field.
    Value(String),
    /// So many bytes of the job's media.
    Bytes(u64),
}

impl Form {
    /// How many parts it may have: as many as an object has members.
    pub const MAX_PARTS: usize = 1024;

    /// Reads it back from the body of a job; none where that is no form.
    pub fn from_json(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }

    /// The body of a job.
    pub fn to_json(&self) -> String {
        // A struct of strings and integers has no way to fail to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Bytes of media that it has.
    pub fn media_bytes(&self) -> u64 {
        self.files().map(|(_, _, bytes)| bytes).sum()
    }

    /// The parts that are in the job's media, each with where its bytes begin there and how many they are.
    pub fn files(&self) -> impl Iterator<Item = (&FormPart, u64, u64)> {
        let mut next = 0;
        self.parts.iter().filter_map(move |part| {
            let PartContent::Bytes(bytes) = part.content else { return None };
            let start = next;
            next += bytes;
            Some((part, start, bytes))
        })
    }

    /// The text of the first field with this name.
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The texts of all fields with this name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parts.iter().filter(move |part| part.name == name).filter_map(|part| match &part.content {
            PartContent::Value(text) => Some(text.as_str()),
            PartContent::Bytes(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_back_from_its_json() {
        let part = |name: &str, content| FormPart {
            name: name.to_owned(),
            filename: matches!(content, PartContent::Bytes(_)).then(|| "a\"b.mp3".to_owned()),
            content_type: None,
            content,
        };
        let form = Form {
            parts: vec![
                part("file", PartContent::Bytes(3)),
                part("language", PartContent::Value("en".to_owned())),
                part("file", PartContent::Bytes(4)),
            ],
        };
        let json = form.to_json();
        assert_eq!(
            json,
            r#"{"parts":[{"name":"file","filename":"a\"b.mp3","bytes":3},{"name":"language","value":"en"},{"name":"file","filename":"a\"b.mp3","bytes":4}]}"#
        );
        assert_eq!(Form::from_json(&json).unwrap(), form);
        let places: Vec<_> = form.files().map(|(_, start, bytes)| (start, bytes)).collect();
        assert_eq!((places, form.media_bytes()), (vec![(0, 3), (3, 4)], 7));
        assert_eq!((form.value("language"), form.value("file")), (Some("en"), None));
    }
}
