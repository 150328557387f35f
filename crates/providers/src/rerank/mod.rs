//! Rerank at a provider with a form of its own. The result has Cohere's form: <https://docs.cohere.com/reference/rerank>

mod ranking;
mod request;

use hermod_types::{CallUsage, Operation};

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
use crate::usage;
pub(crate) use ranking::{Ranked, Ranking};
pub(crate) use request::RerankRequest;

/// A provider's rerank.
pub(crate) trait Rerank: Send + Sync {
    /// Writes the request. The documents of the result are copied from the client's: no provider has to send them back.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(&self, ask: &Ask<'_>, request: &RerankRequest<'_>) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &Answer) -> Result<Ranking, String>;
}

/// A rerank request: one call.
pub(crate) struct RerankPlan<'a> {
    provider: &'a dyn Rerank,
    request: RerankRequest<'a>,
}

impl<'a> RerankPlan<'a> {
    /// None if the body is no rerank request.
    pub(crate) fn new(body: &'a str, provider: &'a dyn Rerank) -> Option<Self> {
        Some(Self { provider, request: RerankRequest::parse(body)? })
    }
}

impl Plan for RerankPlan<'_> {
    type Reply = Ranking;

    fn sent_as(&self) -> Operation {
        Operation::Rerank
    }

    fn calls(&self) -> usize {
        1
    }

    fn request(&self, ask: &Ask<'_>, _: usize) -> Result<Outgoing, Unsendable> {
        self.provider.request(ask, &self.request)
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<Ranking, String> {
        let ranking = self.provider.read(answer)?;
        ranking.check(self.request.documents.len())?;
        let (wanted, got) = (self.request.wanted(), ranking.results.len());
        if got < wanted { Err(format!("it ranked {got} documents of {wanted}")) } else { Ok(ranking) }
    }

    fn used(&self, _: &Ranking, usage: CallUsage) -> CallUsage {
        if usage::has_tokens(&usage) || usage.searches.is_some() {
            return usage;
        }
        CallUsage { searches: Some(usage::searches(self.request.documents.len())), ..usage }
    }

    fn bytes(reply: &Ranking) -> usize {
        reply.results.len() * size_of::<Ranked>()
    }

    fn compose(&self, ask: &Ask<'_>, replies: Vec<Ranking>, limit: usize) -> Option<String> {
        replies.into_iter().next()?.compose(ask.model, &self.request, limit)
    }
}
