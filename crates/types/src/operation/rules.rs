//! What an endpoint's requests must be.

use crate::shape::{Member, is_empty, is_missing};
use crate::{InvalidRequest, RawObject};

/// The rules of an endpoint.
#[derive(Debug)]
pub(crate) enum Rules {
    Json(JsonRules),
    Form(FormRules),
}

/// Of JSON.
#[derive(Debug)]
pub(crate) struct JsonRules {
    /// The members whose type is checked; all others pass to the provider as they came.
    pub(crate) known: &'static [Member],
    /// Looks whether all is there; types have been checked.
    pub(crate) required: fn(&RawObject<'_>) -> Result<(), InvalidRequest>,
    /// The member that asks for a stream, if one does.
    pub(crate) streamed: fn(&RawObject<'_>) -> Option<&'static str>,
    /// Members that no provider gets, besides those of every request.
    pub(crate) ours: &'static [&'static str],
}

/// Of `multipart/form-data`.
#[derive(Debug)]
pub(crate) struct FormRules {
    /// A file must have one of these names.
    pub(crate) files: &'static [&'static str],
    /// What is said if none has, and of which member.
    pub(crate) missing: &'static str,
    pub(crate) param: &'static str,
    /// Fields that must be integers.
    pub(crate) integers: &'static [&'static str],
}

impl JsonRules {
    /// Those of an endpoint without any.
    pub(super) const NONE: Self = Self { known: &[], required: |_| Ok(()), streamed, ours: &[] };
}

/// `stream`, if it is `true`.
pub(super) fn streamed(object: &RawObject<'_>) -> Option<&'static str> {
    object.get("stream").filter(|value| value.get() == "true").map(|_| "stream")
}

/// Refuses a request without the member, or with `null` or an empty array.
pub(super) fn need(object: &RawObject<'_>, member: &str, message: &str) -> Result<(), InvalidRequest> {
    refuse_if(is_missing(object.get(member)), member, message)
}

/// Refuses a request without the member, or with `null` or an empty string.
pub(super) fn need_text(object: &RawObject<'_>, member: &str, message: &str) -> Result<(), InvalidRequest> {
    refuse_if(is_empty(object.get(member)), member, message)
}

pub(super) fn refuse_if(wrong: bool, param: &str, message: impl Into<String>) -> Result<(), InvalidRequest> {
    if wrong { Err(InvalidRequest::rule(param, message)) } else { Ok(()) }
}
