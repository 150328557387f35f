//! Embeddings at a provider with a form of its own: the client's inputs in as many calls as it takes, and one list of vectors.

mod request;
mod vectors;

use hermod_types::Operation;

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::plan::Plan;
pub(crate) use request::{EmbeddingRequest, VectorEncoding};
pub(crate) use vectors::Vectors;

/// A provider's embeddings.
pub(crate) trait Embeddings: Send + Sync {
    /// Most texts of one call.
    fn most_inputs(&self, model: &str) -> usize;

    /// Writes the request for some of the inputs.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &Answer) -> Result<Vectors, String>;
}

/// An embedding request: a call for as many inputs as a call takes.
pub(crate) struct EmbeddingPlan<'a> {
    provider: &'a dyn Embeddings,
    request: EmbeddingRequest<'a>,
    /// Inputs of a call.
    batch: usize,
}

impl<'a> EmbeddingPlan<'a> {
    /// None if the body is no request of texts.
    pub(crate) fn new(body: &'a str, provider: &'a dyn Embeddings, model: &str) -> Option<Self> {
        let request = EmbeddingRequest::parse(body)?;
        Some(Self { provider, request, batch: provider.most_inputs(model).max(1) })
    }

    fn inputs(&self, number: usize) -> &[Literal<'a>] {
        self.request.inputs.chunks(self.batch).nth(number).unwrap_or_default()
    }
}

impl Plan for EmbeddingPlan<'_> {
    type Reply = Vectors;

    fn sent_as(&self) -> Operation {
        Operation::Embedding
    }

    fn calls(&self) -> usize {
        self.request.inputs.len().div_ceil(self.batch)
    }

    fn request(&self, ask: &Ask<'_>, number: usize) -> Result<Outgoing, Unsendable> {
        self.provider.request(ask, &self.request, self.inputs(number))
    }

    fn read(&self, number: usize, answer: &Answer) -> Result<Vectors, String> {
        let mut reply = self.provider.read(answer)?;
        let (wanted, got) = (self.inputs(number).len(), reply.vectors.len());
        if got != wanted {
            return Err(format!("it gave {got} vectors for {wanted} inputs"));
        }
        if self.request.encoding == VectorEncoding::Base64 {
            reply.encode().ok_or("its vectors are not of numbers")?;
        }
        Ok(reply)
    }

    fn bytes(reply: &Vectors) -> usize {
        reply.bytes()
    }

    fn compose(&self, ask: &Ask<'_>, replies: Vec<Vectors>, limit: usize) -> Option<String> {
        vectors::compose(ask.model, &replies, limit)
    }
}
