//! Fields of queries and of forms.

use actix_web::{HttpRequest, web};
use url::form_urlencoded;

use super::Ui;
use super::respond::UiError;
use crate::body::{self, Body, BodyLimit};

/// The largest form: some thousand ids of jobs.
const LARGEST: BodyLimit = BodyLimit { bytes: 256 << 10, setting: "of a form" };

/// Names and values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Those behind the `?`.
    pub(super) fn of_query(query: &str) -> Self {
        Self::parse(query.as_bytes())
    }

    /// Those of a body.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn of_body(http: &HttpRequest, payload: web::Payload, ui: &Ui) -> Result<Self, UiError> {
        let body = Body::new(http.headers(), payload, LARGEST)?;
        let (bytes, _room) = body.read(body::length(http.headers()), &ui.memory).await?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first with this name that is not blank, without white space around it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).map(str::trim).find(|value| !value.is_empty())
    }

    /// The first with this name, as it is.
    pub(super) fn exact(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// A path with a query of these fields; those without a value are left out.
pub(super) fn path<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = "a/b \"<&>\" ü\n=?#%";
        let made = path("/ui/jobs", [("model", Some(value)), ("key", None), ("state", Some("ended"))]);
        let (before, query) = made.split_once('?').unwrap();
        let fields = Fields::of_query(query);
        assert_eq!(
            (before, fields.exact("model"), fields.get("state")),
            ("/ui/jobs", Some(value), Some("ended"))
        );
        assert_eq!((fields.get("key"), path("/ui", [("a", None)])), (None, "/ui".to_owned()));
        assert_eq!(Fields::of_query("id=&id=+x+&id=y").get("id"), Some("x"));
    }
}
