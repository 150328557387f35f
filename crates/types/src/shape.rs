//! What JSON a member of a request must be, read off its text: no value is built, and no number is
//! changed by being parsed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The shapes that the contract gives to the members of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Boolean,
    Integer,
    Number,
    String,
    StringOrStrings,
    NumberByToken,
}

impl Shape {
    /// How an error message names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::String => "a string",
            Self::StringOrStrings => "a string or an array of strings",
            Self::NumberByToken => "an object of token id to number",
        }
    }

    /// Whether `value` has this shape. `value` is valid JSON, so a look at its first byte tells its kind.
    pub(crate) fn fits(self, value: &RawValue) -> bool {
        let text = value.get();
        let kind = text.as_bytes().first().copied().unwrap_or_default();
        match self {
            Self::Boolean => matches!(kind, b't' | b'f'),
            Self::Integer => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
            Self::Number => matches!(kind, b'0'..=b'9' | b'-'),
            Self::String => kind == b'"',
            Self::StringOrStrings => {
                kind == b'"' || matches!(list_of(text), Some(List::Empty | List::Strings))
            }
            Self::NumberByToken => serde_json::from_str::<Numbers>(text).is_ok(),
        }
    }
}

/// What a prompt turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// `null` or an empty array.
    Missing,
    /// A string, or an array of strings, of token ids, or of arrays of token ids.
    Given,
    /// Anything else.
    Malformed,
}

/// Tells what `value` is as a prompt.
pub(crate) fn prompt(value: &RawValue) -> Prompt {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => Prompt::Given,
        Some(b'n') => Prompt::Missing,
        Some(b'[') => match list_of(text) {
            Some(List::Empty) => Prompt::Missing,
            Some(List::Strings | List::Tokens | List::TokenLists) => Prompt::Given,
            None => Prompt::Malformed,
        },
        _ => Prompt::Malformed,
    }
}

/// An array whose elements are all of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Empty,
    Strings,
    Tokens,
    TokenLists,
}

fn list_of(text: &str) -> Option<List> {
    serde_json::from_str(text).ok()
}

/// Shows `each` the strings of a JSON array, or one that stands alone, none of which is kept. False for anything else.
pub(crate) fn each_string(text: &str, each: impl FnMut(&str)) -> bool {
    serde_json::Deserializer::from_str(text).deserialize_any(StringsVisitor(each)).is_ok()
}

struct StringsVisitor<F>(F);

impl<'de, F: FnMut(&str)> Visitor<'de> for StringsVisitor<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string or an array of strings")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        (self.0)(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(text) = elements.next_element::<Text<'de>>()? {
            (self.0)(&text.0);
        }
        Ok(())
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of one kind of element")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List, A::Error> {
        let Some(Element(first)) = elements.next_element()? else { return Ok(List::Empty) };
        while let Some(Element(next)) = elements.next_element()? {
            if next != first {
                return Err(A::Error::custom("the elements are of different kinds"));
            }
        }
        Ok(first)
    }
}

/// An element, told by the kind of list that it makes.
struct Element(List);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string, a token id, or an array of token ids")
    }

    fn visit_str<E>(self, _: &str) -> Result<Element, E> {
        Ok(Element(List::Strings))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Element, E> {
        Ok(Element(List::Tokens))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tokens: A) -> Result<Element, A::Error> {
        while tokens.next_element::<u64>()?.is_some() {}
        Ok(Element(List::TokenLists))
    }
}

/// An object whose values are numbers.
struct Numbers;

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NumbersVisitor)
    }
}

struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of numbers")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Numbers, M::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            if !Shape::Number.fits(map.next_value::<&RawValue>()?) {
                return Err(M::Error::custom("not a number"));
            }
        }
        Ok(Numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_prompt_is_one_of_four_things() {
        for given in ["\"\"", "\"hi\"", "[\"a\",\"b\"]", "[1,2]", "[[1,2],[3]]", " [ 1 ] "] {
            assert_eq!(prompt(raw(given.trim())), Prompt::Given, "{given}");
        }
        for missing in ["null", "[]", "[ ]"] {
            assert_eq!(prompt(raw(missing)), Prompt::Missing, "{missing}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for malformed in
            ["1", "true", "{}", "[1,\"a\"]", "[null]", "[1.5]", "[-1]", "[[[1]]]", "[[\"a\"]]", deep.as_str()]
        {
            assert_eq!(prompt(raw(malformed)), Prompt::Malformed, "{malformed:.20}");
        }
    }

    #[test]
    fn strings_are_shown_one_by_one() {
        let strings = |text| {
            let mut seen = Vec::new();
            each_string(text, |string| seen.push(string.to_owned())).then_some(seen)
        };
        assert_eq!(strings(r#"["a","\n"]"#).unwrap(), ["a", "\n"]);
        assert_eq!(strings(r#""lone""#).unwrap(), ["lone"]);
        assert!(strings("[]").unwrap().is_empty());
        assert!(["1", "null", "{}", r#"["a",1]"#, "[[]]"].iter().all(|text| strings(text).is_none()));
    }

    #[test]
    fn shapes_are_told_without_changing_a_number() {
        let big = "123456789012345678901234567890";
        assert!(Shape::Integer.fits(raw(big)) && Shape::Integer.fits(raw("-1")));
        for not_whole in ["1.0", "1e3", "\"1\"", "true", "[1]"] {
            assert!(!Shape::Integer.fits(raw(not_whole)), "{not_whole}");
        }
        assert!(Shape::Number.fits(raw("1e400")) && !Shape::Number.fits(raw("\"1\"")));
        assert!(Shape::NumberByToken.fits(raw("{\"50256\":-100,\"1\":1e400}")));
        assert!(!Shape::NumberByToken.fits(raw("{\"50256\":\"-100\"}")));
        assert!(Shape::StringOrStrings.fits(raw("[]")) && !Shape::StringOrStrings.fits(raw("[1]")));
    }
}
