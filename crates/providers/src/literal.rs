use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// A JSON string as it was written, in its quotes: what a client or a provider wrote passes on with its own escapes, and is copied
/// instead of being decoded and encoded again.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Literal<'a>(Cow<'a, str>);

impl<'a> Literal<'a> {
    /// That of a text.
    pub(crate) fn of(text: &str) -> Literal<'static> {
        // Writing a str to memory has no way to fail.
        Literal(Cow::Owned(serde_json::to_string(text).unwrap_or_default()))
    }

    /// Takes JSON that is a string; none for any other.
    pub(crate) fn from_json(json: &'a str) -> Option<Self> {
        (json.len() >= 2 && json.starts_with('"')).then_some(Self(Cow::Borrowed(json)))
    }

    /// With its quotes.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    /// Without its quotes, still escaped.
    pub(crate) fn inner(&self) -> &str {
        self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner().is_empty()
    }

    /// The text itself.
    pub(crate) fn decode(&self) -> Cow<'_, str> {
        if self.0.contains('\\') {
            serde_json::from_str(&self.0).map_or(Cow::Borrowed(""), Cow::Owned)
        } else {
            Cow::Borrowed(self.inner())
        }
    }

    pub(crate) fn into_owned(self) -> Literal<'static> {
        Literal(Cow::Owned(self.0.into_owned()))
    }

    /// One after the other, as one string.
    pub(crate) fn concat<'l>(literals: impl IntoIterator<Item = &'l Literal<'l>>) -> Literal<'static> {
        let mut all = "\"".to_owned();
        for literal in literals {
            all.push_str(literal.inner());
        }
        all.push('"');
        Literal(Cow::Owned(all))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Literal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        Self::from_json(raw.get()).ok_or_else(|| D::Error::custom("not a string"))
    }
}

impl fmt::Debug for Literal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The two parts of a `data:` URL in base64: media type and data. None for any other URL. Many write `image/jpg`, which no provider
/// knows, for `image/jpeg`.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = match media_type.split(';').next().unwrap_or_default() {
        "image/jpg" => "image/jpeg",
        media_type => media_type,
    };
    Some((media_type, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_keeps_its_escapes() {
        let literal: Literal<'_> = serde_json::from_str(r#""h\u00e9\n""#).unwrap();
        assert_eq!((literal.as_json(), &*literal.decode()), (r#""h\u00e9\n""#, "hé\n"));
        assert_eq!(Literal::concat([&literal, &Literal::of("\"x\"")]).as_json(), r#""h\u00e9\n\"x\"""#);
        assert!(serde_json::from_str::<Literal<'_>>("1").is_err() && Literal::of("").is_empty());
    }

    #[test]
    fn a_data_url_has_a_type_and_data() {
        assert_eq!(data_url("data:image/png;base64,AAAA"), Some(("image/png", "AAAA")));
        assert_eq!(data_url("data:text/plain;charset=utf-8;base64,AA"), Some(("text/plain", "AA")));
        assert_eq!(data_url("data:image/jpg;base64,AA"), Some(("image/jpeg", "AA")));
        assert_eq!((data_url("https://x/y.png"), data_url("data:text/plain,hi")), (None, None));
    }
}
