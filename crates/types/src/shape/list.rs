//! Arrays and objects whose elements are all of one kind.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Shape, Text};

/// An array whose elements are all of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Empty,
    Strings,
    Tokens,
    TokenLists,
    Objects,
}

pub(super) fn list_of(text: &str) -> Option<List> {
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
        out.write_str("a string, a token id, an array of token ids, or an object")
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

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Element, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Element(List::Objects))
    }
}

/// The place of the first element that `is_wanted`, of a JSON array.
pub(crate) fn find_element(text: &str, is_wanted: impl FnMut(&RawValue) -> bool) -> Option<usize> {
    serde_json::Deserializer::from_str(text).deserialize_seq(FindVisitor(is_wanted)).unwrap_or_default()
}

struct FindVisitor<F>(F);

impl<'de, F: FnMut(&RawValue) -> bool> Visitor<'de> for FindVisitor<F> {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Option<usize>, A::Error> {
        let (mut index, mut found) = (0, None);
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if found.is_none() && (self.0)(element) {
                found = Some(index);
            }
            index += 1;
        }
        Ok(found)
    }
}

/// Whether it is an object whose values are numbers.
pub(super) fn is_numbers(text: &str) -> bool {
    serde_json::from_str::<Numbers>(text).is_ok()
}

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
            if !Shape::Number.fits(map.next_value::<&RawValue>()?.get()) {
                return Err(M::Error::custom("not a number"));
            }
        }
        Ok(Numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_some_elements_is_found() {
        let first = |text| find_element(text, |element| element.get() == "null");
        assert_eq!(first("[1, null, null]"), Some(1));
        assert_eq!((first("[1]"), first("[]"), first("null")), (None, None, None));
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
}
