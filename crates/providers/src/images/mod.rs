//! Images at a provider with a form of its own: made of a prompt, of images and a prompt, or of an image alone.

mod reply;
mod request;

use hermod_types::{CallUsage, Operation};

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
pub(crate) use reply::{Image, ImageReply};
pub(crate) use request::ImageRequest;

/// A provider's images.
pub(crate) trait Images: Send + Sync {
    /// Most images of one call.
    fn most_images(&self, model: &str) -> usize;

    /// Writes the request for `n` images.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(&self, ask: &Ask<'_>, request: &ImageRequest<'_>, n: usize) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &Answer) -> Result<ImageReply, String>;
}

/// A request for images: a call for as many as a call gives.
pub(crate) struct ImagePlan<'a> {
    provider: &'a dyn Images,
    request: ImageRequest<'a>,
    /// Images of a call.
    batch: usize,
}

impl<'a> ImagePlan<'a> {
    /// None if the body is no request of this kind.
    pub(crate) fn new(
        operation: Operation,
        body: &'a str,
        provider: &'a dyn Images,
        model: &str,
    ) -> Option<Self> {
        let request = ImageRequest::parse(operation, body)?;
        Some(Self { provider, request, batch: provider.most_images(model).max(1) })
    }
}

impl Plan for ImagePlan<'_> {
    type Reply = ImageReply;

    fn sent_as(&self) -> Operation {
        self.request.operation
    }

    fn calls(&self) -> usize {
        self.request.n.div_ceil(self.batch)
    }

    fn request(&self, ask: &Ask<'_>, number: usize) -> Result<Outgoing, Unsendable> {
        let before = number.saturating_mul(self.batch);
        self.provider.request(ask, &self.request, self.request.n.saturating_sub(before).min(self.batch))
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<ImageReply, String> {
        let reply = self.provider.read(answer)?;
        if reply.images.is_empty() { Err("its answer has no image".to_owned()) } else { Ok(reply) }
    }

    fn used(&self, reply: &ImageReply, usage: CallUsage) -> CallUsage {
        CallUsage { images: u64::try_from(reply.images.len()).ok(), ..usage }
    }

    fn bytes(reply: &ImageReply) -> usize {
        reply.bytes()
    }

    fn compose(&self, _: &Ask<'_>, replies: Vec<ImageReply>, limit: usize) -> Option<String> {
        reply::compose(&replies, limit)
    }
}
