use bytes::Bytes;
use futures_util::Stream;
use multer::{Constraints, Multipart, SizeLimit};
use send_wrapper::SendWrapper;

use super::request::Refusal;
use super::server::MAX_BODY_BYTES;

/// The largest field that is no file.
const MAX_FIELD_BYTES: usize = 1 << 20;

/// A form, of whose files only the sizes are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload {
    fields: Vec<(String, String)>,
    pub(super) files: Vec<UploadedFile>,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct UploadedFile {
    /// The field's name, without the `[]` that an array may have.
    pub(super) field: String,
    pub(super) name: String,
    pub(super) bytes: usize,
}

impl Upload {
    /// Reads a form as it arrives.
    pub(super) async fn read<E>(
        content_type: &str,
        body: impl Stream<Item = Result<Bytes, E>> + 'static,
    ) -> Result<Self, Refusal>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let boundary = multer::parse_boundary(content_type)?;
        let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
        // The form is read on the thread of its connection.
        let mut form = Multipart::with_constraints(SendWrapper::new(body), boundary, constraints);
        let mut upload = Self::default();
        while let Some(mut part) = form.next_field().await? {
            let field = part.name().unwrap_or_default().to_owned();
            if let Some(name) = part.file_name().map(str::to_owned) {
                let mut bytes = 0;
                while let Some(chunk) = part.chunk().await? {
                    bytes += chunk.len();
                }
                upload.files.push(UploadedFile {
                    field: field.trim_end_matches("[]").to_owned(),
                    name,
                    bytes,
                });
            } else {
                let mut text = Vec::new();
                while let Some(chunk) = part.chunk().await? {
                    text.extend_from_slice(&chunk);
                    if text.len() > MAX_FIELD_BYTES {
                        return Err(Refusal(format!("the field {field} is over {MAX_FIELD_BYTES} bytes")));
                    }
                }
                upload.fields.push((field, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        Ok(upload)
    }

    /// The first field with this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }

    /// The fields with this name.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

impl From<multer::Error> for Refusal {
    fn from(error: multer::Error) -> Self {
        Self(format!("the form cannot be read: {error}"))
    }
}
