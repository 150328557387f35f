//! What JSON a member of a request must be, read off its text: no value is built, and no number is
//! changed by being parsed.

mod list;
mod schema;
mod walk;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use list::{List, is_numbers, list_of};
pub(crate) use list::{each_string, find_element};
pub(crate) use walk::{Wrong, check_members};

/// How many members an object may have whose members are looked at.
pub(crate) const MAX_MEMBERS: usize = 1024;

/// A member, and what it must be unless it is `null`.
pub(crate) type Member = (&'static str, Shape);

/// The shapes that the endpoints give to the members of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Any,
    Boolean,
    Integer,
    Number,
    String,
    Strings,
    StringOrStrings,
    Integers,
    /// An object of whatever there is.
    Object,
    NumberByToken,
    /// A string, or an array of strings, of token ids, or of arrays of token ids.
    Prompt,
    /// That, or an array of objects.
    PromptOrParts,
    /// A string, or what else.
    StringOr(&'static Self),
    /// An array whose elements are like this.
    Each(&'static Self),
    /// An object that has these.
    Members(&'static Members),
    /// An object one of whose members says which others it has.
    Tagged(&'static Tagged),
}

/// An object's members. Those that it does not know pass.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) known: &'static [Member],
    pub(crate) needed: &'static [&'static str],
}

/// Kinds of objects that are told apart by a member.
#[derive(Debug)]
pub(crate) struct Tagged {
    /// The member that says the kind: a string.
    pub(crate) tag: &'static str,
    pub(crate) kinds: &'static [(&'static str, &'static Members)],
    /// Whether an object of any other kind passes, where providers add new ones.
    pub(crate) is_open: bool,
    /// What an object without the tag is; none if it must have one.
    pub(crate) untagged: Option<&'static Members>,
}

impl Shape {
    /// How an error message names it.
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Any => "a value".into(),
            Self::Boolean => "a boolean".into(),
            Self::Integer => "an integer".into(),
            Self::Number => "a number".into(),
            Self::String => "a string".into(),
            Self::Strings => "an array of strings".into(),
            Self::StringOrStrings => "a string or an array of strings".into(),
            Self::Integers => "an array of integers".into(),
            Self::Object | Self::Members(_) | Self::Tagged(_) => "an object".into(),
            Self::NumberByToken => "an object of token id to number".into(),
            Self::Prompt => {
                "a string, or an array of strings, of token ids, or of arrays of token ids".into()
            }
            Self::PromptOrParts => {
                "a string, or an array of strings, of token ids, of arrays of token ids, or of objects".into()
            }
            Self::StringOr(other) => format!("a string or {}", other.name()).into(),
            Self::Each(_) => "an array".into(),
        }
    }

    /// Whether `text` has this shape, as far as that can be told without the path of what is wrong. It is valid JSON, so a look at its
    /// first byte tells its kind.
    fn fits(self, text: &str) -> bool {
        let kind = text.as_bytes().first().copied().unwrap_or_default();
        match self {
            Self::Any => true,
            Self::Boolean => matches!(kind, b't' | b'f'),
            Self::Integer => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
            Self::Number => matches!(kind, b'0'..=b'9' | b'-'),
            Self::String => kind == b'"',
            Self::Strings => matches!(list_of(text), Some(List::Empty | List::Strings)),
            Self::StringOrStrings => kind == b'"' || Self::Strings.fits(text),
            Self::Integers => matches!(list_of(text), Some(List::Empty | List::Tokens)),
            Self::Object | Self::Members(_) | Self::Tagged(_) => kind == b'{',
            Self::NumberByToken => kind == b'{' && is_numbers(text),
            Self::Prompt => kind == b'"' || list_of(text).is_some_and(|list| list != List::Objects),
            Self::PromptOrParts => kind == b'"' || list_of(text).is_some(),
            Self::StringOr(other) => kind == b'"' || other.fits(text),
            Self::Each(_) => kind == b'[',
        }
    }
}

/// Whether there is nothing: no member, `null`, or an empty array.
pub(crate) fn is_missing(value: Option<&RawValue>) -> bool {
    let is_empty = |text: &str| {
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        inside.is_some_and(|inside| inside.trim_ascii().is_empty())
    };
    value.is_none_or(|value| value.get() == "null" || is_empty(value.get()))
}

/// Whether there is nothing, or an empty string.
pub(crate) fn is_empty(value: Option<&RawValue>) -> bool {
    is_missing(value) || value.is_some_and(|value| value.get() == "\"\"")
}

/// The string that `value` is.
pub(crate) fn string_of(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    string(value?.get())
}

/// Whether it is absent, or is a string of nothing but white space.
pub(crate) fn is_blank(value: Option<&RawValue>) -> bool {
    string_of(value).is_none_or(|text| text.trim().is_empty())
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(text).ok().map(|Text(text)| text)
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_prompt_is_one_of_four_things() {
        for given in ["\"\"", "\"hi\"", "[\"a\",\"b\"]", "[1,2]", "[[1,2],[3]]", "[ 1 ]", "[]"] {
            assert!(Shape::Prompt.fits(given), "{given}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for malformed in
            ["1", "true", "{}", "[1,\"a\"]", "[null]", "[1.5]", "[-1]", "[[[1]]]", "[[\"a\"]]", deep.as_str()]
        {
            assert!(!Shape::Prompt.fits(malformed), "{malformed:.20}");
        }
        assert!(Shape::PromptOrParts.fits("[{\"text\":\"a\"},{}]") && !Shape::Prompt.fits("[{}]"));
        assert!(!Shape::PromptOrParts.fits("[{},1]") && !Shape::PromptOrParts.fits("{}"));
    }

    #[test]
    fn nothing_is_missing_and_white_space_is_blank() {
        assert!(is_missing(None) && is_blank(None));
        assert!(["null", "[]", "[ \n]"].iter().all(|text| is_missing(Some(raw(text)))));
        assert!(["\"\"", "null", "[]"].iter().all(|text| is_empty(Some(raw(text)))));
        assert!(["\"\"", "[1]", "{}", "0"].iter().all(|text| !is_missing(Some(raw(text)))));
        assert!(["\"\"", "\" \\n\\u00a0\"", "null"].iter().all(|text| is_blank(Some(raw(text)))));
        assert!(!is_blank(Some(raw("\" a\""))));
    }

    #[test]
    fn shapes_are_told_without_changing_a_number() {
        let big = "123456789012345678901234567890";
        assert!(Shape::Integer.fits(big) && Shape::Integer.fits("-1"));
        for not_whole in ["1.0", "1e3", "\"1\"", "true", "[1]"] {
            assert!(!Shape::Integer.fits(not_whole), "{not_whole}");
        }
        assert!(Shape::Number.fits("1e400") && !Shape::Number.fits("\"1\""));
        assert!(Shape::NumberByToken.fits("{\"50256\":-100,\"1\":1e400}"));
        assert!(!Shape::NumberByToken.fits("{\"50256\":\"-100\"}"));
        assert!(Shape::StringOrStrings.fits("[]") && !Shape::StringOrStrings.fits("[1]"));
        assert!(
            !Shape::Strings.fits("\"a\"") && Shape::Integers.fits("[0,7]") && !Shape::Integers.fits("[1.5]")
        );
    }
}
