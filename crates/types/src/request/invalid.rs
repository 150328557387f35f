use crate::shape::Wrong;

/// Why a body is not a [`Request`](crate::Request): a message for the client, and the member that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// What is wrong, in the contract's words where it has them.
    pub message: String,
    /// The member at fault, where there is one: its path, as in `messages[2].content`.
    pub param: Option<String>,
}

impl InvalidRequest {
    pub(crate) fn format(param: Option<&str>, what: impl std::fmt::Display) -> Self {
        Self { message: format!("invalid request format: {what}"), param: param.map(str::to_owned) }
    }

    pub(crate) fn rule(param: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.to_owned()) }
    }

    /// A body in another form than the endpoint takes.
    pub(super) fn other_form(what: &str) -> Self {
        Self { message: format!("failed to parse multipart form: {what}"), param: None }
    }
}

impl From<Wrong> for InvalidRequest {
    fn from(Wrong { path, what }: Wrong) -> Self {
        Self::format(Some(&path), format_args!("`{path}` {what}"))
    }
}
