use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use reqwest::Body;
use reqwest::multipart;
use tokio_util::io::ReaderStream;

use crate::Error;

/// What is read of a file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A form whose files are open, and not read yet.
///
/// ```no_run
/// # async fn example(hermod: hermod_client::Client) -> Result<(), hermod_client::Error> {
/// use hermod_client::{Form, Operation, Submission};
///
/// let form = Form::default().field("model", "demo/echo").file("file", "talk.mp3")?;
/// let job = hermod.submit(Submission::form(Operation::Transcription, form)?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<OpenFile>,
}

struct OpenFile {
    field: String,
    name: String,
    media_type: String,
    bytes: u64,
    file: File,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} ({}, {} bytes)", self.field, self.name, self.media_type, self.bytes)
    }
}

/// Who hears how many bytes were sent.
#[derive(Clone, Default)]
pub(crate) struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl fmt::Debug for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Progress({})", self.0.is_some())
    }
}

impl Progress {
    pub(crate) fn new(told: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    fn tell(&self, bytes: usize) {
        if let Some(told) = &self.0 {
            told(u64::try_from(bytes).unwrap_or_default());
        }
    }
}

impl Form {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens a file and adds it. Its media type is guessed from its name.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::NotAFile`] if it is a folder.
    pub fn file(mut self, field: &str, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile(path.to_owned()));
        }
        self.files.push(OpenFile {
            field: field.to_owned(),
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            media_type: mime_guess::from_path(path).first_or_octet_stream().to_string(),
            bytes: metadata.len(),
            file,
        });
        Ok(self)
    }

    /// Names and values of its fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The field and the name of each of its files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.field.as_str(), file.name.as_str()))
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The form, whose files are read from disk as they are sent.
    pub(crate) fn into_multipart(self, progress: &Progress) -> Result<multipart::Form, Error> {
        let fields = self.fields.into_iter();
        let form = fields.fold(multipart::Form::new(), |form, (name, value)| form.text(name, value));
        self.files.into_iter().try_fold(form, |form, file| {
            let progress = progress.clone();
            let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file.file), CHUNK_BYTES);
            let chunks = chunks.inspect_ok(move |chunk| progress.tell(chunk.len()));
            let part = multipart::Part::stream_with_length(Body::wrap_stream(chunks), file.bytes);
            let part = part.file_name(file.name).mime_str(&file.media_type);
            let part = part.map_err(|_| Error::Invalid { what: "file", expected: "a media type" })?;
            Ok(form.part(file.field, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
    use futures_util::stream;
    use serde_json::json;

    use super::*;
    use crate::{Client, Operation, Submission};

    /// Says what the form had: name, filename, media type and length of each part; and the length of all.
    async fn parts(http: HttpRequest, body: web::Bytes) -> HttpResponse {
        let header = |name: &str| http.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-length"), body.len().to_string());
        let boundary = multer::parse_boundary(header("content-type")).unwrap();
        let body = stream::iter([Ok::<_, std::io::Error>(body)]);
        let mut form = multer::Multipart::new(body, boundary);
        let mut seen = Vec::new();
        while let Some(part) = form.next_field().await.unwrap() {
            let name = part.file_name().map(str::to_owned);
            let media_type = part.content_type().map(ToString::to_string);
            seen.push(json!([name, media_type, part.bytes().await.unwrap().len()]));
        }
        let id = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";
        HttpResponse::Accepted().json(json!({"id": id, "status": "pending", "parts": seen}))
    }

    #[actix_web::test]
    async fn files_are_sent_with_their_names_types_and_length() {
        let folder = tempfile::tempdir().unwrap();
        let large = vec![b'x'; 3 * CHUNK_BYTES + 1];
        let mut form = Form::default().field("model", "echo");
        for (name, content) in [("a b.mp3", large.as_slice()), ("unknown", b"")] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            form = form.file("file", &path).unwrap();
        }
        let total = form.bytes();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let app = || App::new().default_service(web::post().to(parts));
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run(),
        );

        let sent = Arc::new(AtomicU64::new(0));
        let told = sent.clone();
        let submission = Submission::form(Operation::Transcription, form).unwrap();
        let submission = submission.on_progress(move |bytes| {
            told.fetch_add(bytes, Ordering::SeqCst);
        });
        let job = client.submit(submission).await.unwrap();
        assert_eq!(sent.load(Ordering::SeqCst), total);
        let expected = json!([
            [null, null, 4],
            ["a b.mp3", "audio/mpeg", large.len()],
            ["unknown", "application/octet-stream", 0],
        ]);
        assert_eq!(job.get("parts").unwrap().get(), expected.to_string());

        let error = Form::default().file("file", folder.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a file", folder.path().display()));
    }
}
