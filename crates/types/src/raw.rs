use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object split into its members, in order, each value still the text that was written: numbers,
/// big integers, unknown fields and nesting of any depth pass through untouched and unparsed.
#[derive(Debug)]
pub struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    pub(crate) const fn new(members: Vec<(Cow<'a, str>, &'a RawValue)>) -> Self {
        Self(members)
    }

    /// Its members, in the order in which they were written.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The same, with the names.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter()
    }

    /// Reads `text`, and stops at the first member that is more than `most`.
    pub(crate) fn bounded(text: &'a str, most: usize) -> serde_json::Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let object = json.deserialize_map(MembersVisitor { most })?;
        json.end()?;
        Ok(object)
    }

    /// The value of the first member with this name.
    pub fn get(&self, wanted: &str) -> Option<&'a RawValue> {
        self.members().find(|(name, _)| *name == wanted).map(|(_, value)| value)
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

/// Whether a reader that ignores upper and lower case takes a member called `name` for `known`, a name in lower case.
///
/// Go's `encoding/json` is such a reader, and lets the last of several win. It folds by Unicode: to it a long s
/// (U+017F) is an `s`, and the sign for kelvin (U+212A) a `k`.
pub fn reads_as(name: &str, known: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).eq(known.chars())
}

/// Whether the JSON `text` has arrays and objects within each other more than `most` deep.
pub(crate) fn is_deeper_than(text: &str, most: usize) -> bool {
    // Most texts have not even as many brackets.
    if brackets(text) <= most {
        return false;
    }
    let mut depth = 0_usize;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => rest = behind_string(rest.as_str()).chars(),
            '[' | '{' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// How many arrays and objects begin in `text`, those within strings included.
fn brackets(text: &str) -> usize {
    // Counts that fit into a byte are added sixteen at a time, which is ten times as fast.
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    text.as_bytes().chunks(128).map(|chunk| usize::from(count(chunk))).sum()
}

/// What follows a JSON string, of which `text` begins with the inside.
fn behind_string(mut text: &str) -> &str {
    while let Some((before, behind)) = text.split_once('"') {
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        if backslashes % 2 == 0 {
            return behind;
        }
        text = behind;
    }
    ""
}

/// `text` as a JSON string, quoted and escaped.
pub(crate) fn json_string(text: &str) -> String {
    // Writing a str to memory has no way to fail.
    serde_json::to_string(text).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor { most: usize::MAX })
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct MembersVisitor {
    most: usize,
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = RawObject<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            if members.len() >= self.most {
                return Err(M::Error::custom(format_args!("more than {} members", self.most)));
            }
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
    fn a_bound_on_members_is_seen_while_they_are_read() {
        let three = r#"{"a":1,"b":2,"c":3}"#;
        assert_eq!(RawObject::bounded(three, 3).unwrap().members().count(), 3);
        // What follows the member that is too many is not even read.
        let error = RawObject::bounded(r#"{"a":1,"b":2,"c" nonsense"#, 2).unwrap_err();
        assert!(error.to_string().starts_with("more than 2 members"), "{error}");
        assert!(RawObject::bounded("{} {}", 9).is_err());
    }

    #[test]
    fn depth_is_that_of_arrays_and_objects_outside_of_strings() {
        for (text, depth) in [
            ("1", 0),
            ("[]", 1),
            (r#"[[1],{"a":[2]},[]]"#, 3),
            (r#"["[[[[", "\"[[", "\\", ["\\\"[["]]"#, 2),
            ("[[]", 2),
            (r#"["[[["#, 1),
            (&*"[".repeat(300), 300),
        ] {
            assert!(!is_deeper_than(text, depth), "{text}");
            assert!(depth == 0 || is_deeper_than(text, depth - 1), "{text}");
        }
    }

    #[test]
    fn a_name_is_told_in_any_spelling_of_its_letters() {
        for name in ["models", "Models", "MODELS", "model\u{17f}", "MODEL\u{17f}"] {
            assert!(reads_as(name, "models"), "{name}");
        }
        assert!(reads_as("fallbac\u{212a}s", "fallbacks"));
        for name in ["", "model", "modelss", "m\u{f6}dels", " models"] {
            assert!(!reads_as(name, "models"), "{name}");
        }
    }

    #[test]
    fn nesting_of_any_depth_is_only_text() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let object: RawObject<'_> = serde_json::from_str(&deep).unwrap();
        assert_eq!(object.members().count(), 1);
    }
}
