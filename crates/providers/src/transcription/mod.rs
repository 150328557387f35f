//! Transcriptions at a provider with a form of its own.

mod request;
mod transcript;

use hermod_types::Operation;

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
pub(crate) use request::{TranscriptFormat, TranscriptionRequest};
pub(crate) use transcript::{Transcript, Word};

/// A provider's transcriptions.
pub(crate) trait Transcribe: Send + Sync {
    /// Writes the request.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(&self, ask: &Ask<'_>, request: &TranscriptionRequest) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &Answer) -> Result<Transcript, String>;
}

/// A transcription request: one call.
pub(crate) struct TranscriptionPlan<'a> {
    provider: &'a dyn Transcribe,
    request: TranscriptionRequest,
}

impl<'a> TranscriptionPlan<'a> {
    /// None if the body is no form with a file, or a format is wanted that a transcript cannot be written in.
    pub(crate) fn new(body: &str, provider: &'a dyn Transcribe) -> Option<Self> {
        Some(Self { provider, request: TranscriptionRequest::parse(body)? })
    }
}

impl Plan for TranscriptionPlan<'_> {
    type Reply = Transcript;

    fn sent_as(&self) -> Operation {
        Operation::Transcription
    }

    fn calls(&self) -> usize {
        1
    }

    fn request(&self, ask: &Ask<'_>, _: usize) -> Result<Outgoing, Unsendable> {
        self.provider.request(ask, &self.request)
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<Transcript, String> {
        self.provider.read(answer)
    }

    fn bytes(reply: &Transcript) -> usize {
        reply.bytes()
    }

    fn compose(&self, _: &Ask<'_>, replies: Vec<Transcript>, limit: usize) -> Option<String> {
        let result = replies.into_iter().next()?.compose(&self.request);
        (result.len() <= limit).then_some(result)
    }
}
