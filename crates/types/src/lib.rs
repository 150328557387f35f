//! The words that Hermod's crates share: what a client sends ([`Request`]), what it gets back
//! ([`JobView`], [`ErrorBody`]), and the operator's `config.json` ([`Config`]).
//!
//! Nothing here does I/O, and a value that exists is valid: a [`Target`] has a provider and a model, a
//! [`Ttl`] is positive, a [`JobId`] is a UUID.

mod attempt;
mod backoff;
pub mod config;
mod document;
mod error;
mod expressible;
mod form;
pub mod governance;
mod id;
mod job;
mod mask;
mod media;
mod media_type;
mod operation;
mod raw;
mod request;
mod response;
mod result;
mod retry_after;
mod seal;
mod shape;
mod target;
mod timestamp;
mod trace;
mod ttl;
mod usage;
pub mod webhook;

pub use attempt::{Attempt, Journal};
pub use backoff::Backoff;
pub use config::{ApiConfig, Config};
pub use document::Document;
pub use error::{ErrorBody, ErrorCode, ErrorDetail, ErrorExtra};
pub use expressible::{Inexpressible, cannot_serve, changes_nothing};
pub use form::{Form, FormPart, PartContent};
pub use id::{JobId, Shard, ShardCount};
pub use job::{JobStatus, JobView};
pub use mask::Mask;
pub use media::{MediaEncoding, MediaPart, media_of};
pub use media_type::media_type_of;
pub use operation::{BodyForm, Operation};
pub use raw::{RawObject, reads_as};
pub use request::{Choose, InvalidRequest, MAX_FALLBACKS, Naming, Request};
pub use response::{
    ECHOED, InvalidResponseId, ResponseEcho, ResponseId, ResponseSplice, ResponseStatus, ResponseView,
};
pub use result::{ResultExtra, compose_result, extend_result};
pub use retry_after::retry_after;
pub use seal::{Seal, SealError};
pub use target::{InvalidTarget, Target};
pub use timestamp::Timestamp;
pub use trace::TraceContext;
pub use ttl::Ttl;
pub use usage::{CallUsage, ServiceTier, UsageCharged};
