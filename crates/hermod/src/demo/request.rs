use bytes::Bytes;
use hermod_types::Operation;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::upload::Upload;

/// What was sent to an endpoint.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) model: String,
    pub(super) input: Input,
}

/// A body.
#[derive(Debug)]
pub(super) enum Input {
    Json(Bytes),
    Form(Upload),
}

/// Why a request is answered with 400.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl Request {
    /// One that names its model, as all do.
    pub(super) fn new(operation: Operation, input: Input) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Model {
            model: String,
        }
        let model = match &input {
            Input::Json(body) => serde_json::from_slice::<Model>(body)?.model,
            Input::Form(form) => {
                form.value("model").ok_or_else(|| Refusal("missing field `model`".to_owned()))?.to_owned()
            }
        };
        Ok(Self { operation, model, input })
    }

    /// What an endpoint reads of its JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        match &self.input {
            Input::Json(body) => Ok(serde_json::from_slice(body)?),
            Input::Form(_) => Err(Refusal("expected JSON".to_owned())),
        }
    }

    pub(super) fn form(&self) -> Result<&Upload, Refusal> {
        match &self.input {
            Input::Form(form) => Ok(form),
            Input::Json(_) => Err(Refusal("expected multipart/form-data".to_owned())),
        }
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}
