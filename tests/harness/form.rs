/// A multipart body, written part by part.
#[derive(Clone, Debug, Default)]
pub struct FormBody(Vec<u8>);

impl FormBody {
    /// What stands between its parts.
    pub const BOUNDARY: &str = "8d1f";
    /// Its media type.
    pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=8d1f";

    /// One without a part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, name: &str, filename: &str, content_type: &str, content: &[u8]) -> Self {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"");
        self.part(&format!("{disposition}\r\nContent-Type: {content_type}"), content)
    }

    /// Adds a part with these headers.
    #[must_use]
    pub fn part(mut self, headers: &str, content: &[u8]) -> Self {
        self.0.extend_from_slice(format!("--{}\r\n{headers}\r\n\r\n", Self::BOUNDARY).as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// What it is so far, without its end.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{}--\r\n", Self::BOUNDARY).as_bytes());
        self.0
    }
}
