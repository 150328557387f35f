//! The members of a request, read for what they say.

use std::borrow::Cow;

use crate::config::ProviderKind;
use crate::shape::string_of;
use crate::{BodyForm, Form, Inexpressible, Operation, RawObject};

/// A JSON object's members, or a form's fields.
#[derive(Debug)]
pub(super) enum Members<'a> {
    Json(RawObject<'a>),
    Form(Form),
}

impl<'a> Members<'a> {
    /// None if the body is not what a submit lets pass.
    pub(super) fn of(operation: Operation, body: &'a str) -> Option<Self> {
        match operation.form() {
            BodyForm::Json => serde_json::from_str(body).ok().map(Self::Json),
            BodyForm::Multipart => Form::from_json(body).map(Self::Form),
        }
    }

    /// The text of a string or of a field, else the JSON; none for `null`.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Json(object) => {
                let value = object.get(name).filter(|value| value.get() != "null")?;
                Some(string_of(Some(value)).unwrap_or(Cow::Borrowed(value.get())))
            }
            Self::Form(form) => form.values(name).next().map(|text| Cow::Owned(text.to_owned())),
        }
    }

    /// Whether it is there, a file included.
    fn is_given(&self, name: &str) -> bool {
        match self {
            Self::Json(_) => self.json(name).is_some(),
            Self::Form(form) => form.parts.iter().any(|part| part.name == name),
        }
    }

    /// The JSON of a member; none for `null`, and for a form.
    pub(super) fn json(&self, name: &str) -> Option<&'a str> {
        let Self::Json(object) = self else { return None };
        object.get(name).map(|value| value.get()).filter(|json| *json != "null")
    }

    /// Bytes of all files.
    pub(super) fn media_bytes(&self) -> u64 {
        match self {
            Self::Json(_) => 0,
            Self::Form(form) => form.media_bytes(),
        }
    }
}

/// A member that may have some values alone: those that change nothing, or that the provider has. No values: it must not be there.
pub(super) type Limited = (&'static str, &'static [&'static str]);

/// The first member with a value that it must not have.
pub(super) fn first_unsaid(
    kind: ProviderKind,
    operation: Operation,
    members: &Members<'_>,
    limited: &[Limited],
) -> Option<Inexpressible> {
    let is_unsaid = |(name, values): &&Limited| {
        if values.is_empty() {
            return members.is_given(name);
        }
        members.text(name).is_some_and(|value| !values.contains(&value.as_ref()))
    };
    let (name, values) = limited.iter().find(is_unsaid)?;
    let message = if values.is_empty() {
        format!("`{name}` cannot be said in the API of {kind} that serves {}", operation.path())
    } else {
        format!("{kind} serves {} with a `{name}` of {} alone", operation.path(), values.join(", "))
    };
    Some(Inexpressible::member(*name, message))
}

/// Refuses a request that becomes more calls than allowed; `param` is what it is called many by.
pub(super) fn too_many(kind: ProviderKind, param: &str, calls: u64, max_calls: u64) -> Option<Inexpressible> {
    let message =
        format!("{kind} is asked in {calls} calls, and the limit (HERMOD_MAX_CALLS) is {max_calls}");
    (calls > max_calls).then(|| Inexpressible::member(param, message))
}
