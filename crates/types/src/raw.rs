use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object split into its members, in order, each value still the text that was written: numbers,
/// big integers, unknown fields and nesting of any depth pass through untouched and unparsed.
#[derive(Debug)]
pub struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Its members, in the order in which they were written.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// A name that more than one member has.
    pub(crate) fn given_twice(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.members().map(|(name, _)| name).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find_map(|pair| if let [one, other] = pair { (one == other).then_some(*one) } else { None })
    }

    /// Writes the members that `keep` keeps, each preceded by a comma unless it is the first in `out`'s
    /// object: `out` ends either with `{` or with another member.
    pub fn write_members(&self, out: &mut String, keep: impl Fn(&str) -> bool) {
        for (name, value) in self.members().filter(|(name, _)| keep(name)) {
            if !out.ends_with('{') {
                out.push(',');
            }
            out.push_str(&json_string(name));
            out.push(':');
            out.push_str(value.get());
        }
    }
}

/// `text` as a JSON string, quoted and escaped.
pub(crate) fn json_string(text: &str) -> String {
    // Writing a str to memory has no way to fail.
    serde_json::to_string(text).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = RawObject<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(RawObject(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_back_as_they_came() {
        let text = r#"{"a":1.10,"drop":0,"b\"":{"x": [1e400, 123456789012345678901234567890]}}"#;
        let object: RawObject<'_> = serde_json::from_str(text).unwrap();
        let mut out = String::from("{");
        object.write_members(&mut out, |name| name != "drop");
        assert_eq!(out, r#"{"a":1.10,"b\"":{"x": [1e400, 123456789012345678901234567890]}"#);
    }

    #[test]
    fn nesting_of_any_depth_is_only_text() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let object: RawObject<'_> = serde_json::from_str(&deep).unwrap();
        assert_eq!(object.members().count(), 1);
    }
}
