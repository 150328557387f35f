use hermod_types::{Form, FormPart};

use crate::payload::Upload;

/// A request for a transcription, in OpenAI's form: <https://platform.openai.com/docs/api-reference/audio/createTranscription>
#[derive(Debug)]
pub(crate) struct TranscriptionRequest {
    pub(crate) form: Form,
    pub(crate) format: TranscriptFormat,
}

/// What the client wants, of what a transcript can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TranscriptFormat {
    Json,
    Text,
    /// With times.
    VerboseJson,
    /// With who speaks.
    DiarizedJson,
}

impl TranscriptionRequest {
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let form = Form::from_json(body)?;
        let format = match form.value("response_format").unwrap_or("json") {
            "json" => TranscriptFormat::Json,
            "text" => TranscriptFormat::Text,
            "verbose_json" => TranscriptFormat::VerboseJson,
            "diarized_json" => TranscriptFormat::DiarizedJson,
            _ => return None,
        };
        let request = Self { form, format };
        request.file().is_some().then_some(request)
    }

    /// The audio, with where its bytes begin in the job's media.
    pub(crate) fn file(&self) -> Option<(&FormPart, u64)> {
        self.form.files().find(|(part, ..)| part.name == "file").map(|(part, start, _)| (part, start))
    }

    /// The same, for a body of JSON.
    pub(crate) fn upload(&self) -> Option<Upload> {
        let mut files = self.form.files();
        files
            .find(|(part, ..)| part.name == "file")
            .map(|(part, start, bytes)| Upload::of(part, start, bytes))
    }

    /// The text of the first field with this name.
    pub(crate) fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.form.value(name)
    }

    /// Whether the times of each word are wanted, or of each segment, which is so unless said otherwise.
    pub(crate) fn wants_times_of(&self, granularity: &str) -> bool {
        let mut wanted = self.form.values("timestamp_granularities[]").peekable();
        if wanted.peek().is_none() { granularity == "segment" } else { wanted.any(|own| own == granularity) }
    }
}
