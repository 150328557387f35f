use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::Error;
use crate::error::broken;

/// Media of a completed job, as they arrive.
#[derive(Debug)]
pub struct Content {
    pub(crate) url: String,
    pub(crate) response: Response,
}

impl Content {
    /// How many bytes there are, where the API says so.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Their media type, such as `audio/mpeg`.
    pub fn media_type(&self) -> Option<&str> {
        self.response.headers().get(CONTENT_TYPE)?.to_str().ok()
    }

    /// The next of them; none after the last.
    ///
    /// # Errors
    /// [`Error::Broken`] if the answer breaks off: what has come is not all.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.response.chunk().await.map_err(|error| broken(&self.url, error))
    }

    /// All of them.
    ///
    /// # Errors
    /// As of [`Self::chunk`].
    pub async fn bytes(self) -> Result<Bytes, Error> {
        self.response.bytes().await.map_err(|error| broken(&self.url, error))
    }
}
