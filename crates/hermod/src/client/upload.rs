use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use tokio_util::io::ReaderStream;

/// What is read of a file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A form whose files are open, and not read yet.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) fields: Vec<(String, String)>,
    pub(super) files: Vec<OpenFile>,
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) field: String,
    pub(super) name: String,
    media_type: String,
    bytes: u64,
    file: File,
}

impl Upload {
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn file(&mut self, field: &str, path: &Path) -> anyhow::Result<()> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "{} is not a file", path.display());
        self.files.push(OpenFile {
            field: field.to_owned(),
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            media_type: mime_guess::from_path(path).first_or_octet_stream().to_string(),
            bytes: metadata.len(),
            file,
        });
        Ok(())
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The form, whose files are read from disk as they are sent; `bar` moves with them.
    ///
    /// # Errors
    /// If a file's media type is no media type.
    pub(super) fn into_form(self, bar: &ProgressBar) -> anyhow::Result<Form> {
        let form = self.fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        self.files.into_iter().try_fold(form, |form, file| {
            let bar = bar.clone();
            let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file.file), CHUNK_BYTES);
            let chunks =
                chunks.inspect_ok(move |chunk| bar.inc(u64::try_from(chunk.len()).unwrap_or_default()));
            let part = Part::stream_with_length(Body::wrap_stream(chunks), file.bytes);
            Ok(form.part(file.field, part.file_name(file.name).mime_str(&file.media_type)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::demo::{Calls, Demo};

    #[actix_web::test]
    async fn files_are_sent_with_their_names_types_and_length() {
        let folder = tempfile::tempdir().unwrap();
        let mut upload = Upload::default();
        upload.field("model", "echo");
        let large = vec![b'x'; 3 * CHUNK_BYTES + 1];
        for (name, content) in [("a b.mp3", large.as_slice()), ("unknown", b"")] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            upload.file("file", &path).unwrap();
        }
        let bar = ProgressBar::hidden();
        let total = upload.bytes();
        let form = upload.into_form(&bar).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/v1/audio/transcriptions", listener.local_addr().unwrap());
        let calls = Calls::default();
        actix_web::rt::spawn(Demo::recording(calls.clone()).serve(listener).unwrap());
        let answer = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200);

        assert_eq!(bar.position(), total);
        let [call] = calls.all().try_into().unwrap();
        assert_eq!(call.header("content-length"), Some(call.form.len().to_string().as_str()));
        let parts = call.parts().await.unwrap();
        let seen: Vec<_> = parts
            .iter()
            .map(|part| (part.filename.as_deref(), part.content_type.as_deref(), part.content.len()))
            .collect();
        assert_eq!(
            seen,
            [
                (None, None, 4),
                (Some("a b.mp3"), Some("audio/mpeg"), large.len()),
                (Some("unknown"), Some("application/octet-stream"), 0),
            ]
        );
    }
}
