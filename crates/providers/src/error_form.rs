use std::fmt;
use std::time::Duration;

use hermod_types::ErrorDetail;
use reqwest::header::HeaderMap;

use crate::openai;

/// How a provider's API says that something went wrong: in OpenAI's way unless told otherwise.
pub(crate) trait ErrorForm: fmt::Debug + Send + Sync {
    /// Reads the error out of an answer's body.
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        openai::error(answer)
    }

    /// The status that an error deserves by what it says, where the provider's own misleads.
    fn status(&self, status: u16, _error: &ErrorDetail) -> u16 {
        status
    }

    /// The error's type, where it is in the headers.
    fn error_type<'h>(&self, _headers: &'h HeaderMap) -> Option<&'h str> {
        None
    }

    /// The wait that an error asks for in its body.
    fn wait(&self, _answer: &str) -> Option<Duration> {
        None
    }
}
