//! The check of members within members. Each value is read once for each object around it, and no string is copied.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{MAX_MEMBERS, Member, Members, Shape, Tagged, Text, string_of};
use crate::RawObject;

/// A part of a request that has another shape than it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where, as in `messages[2].content[0].image_url.url`.
    pub(crate) path: String,
    /// What is said of it.
    pub(crate) what: String,
}

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    fn expected(shape: Shape) -> Self {
        Self::new(format!("must be {}", shape.name()))
    }

    fn in_member(self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{dot}{}", self.path), ..self }
    }

    fn in_element(self, index: usize) -> Self {
        self.in_member(&format!("[{index}]"))
    }
}

/// Refuses a known member of the wrong type, and one given twice, as readers differ on which one counts. `null` is as
/// good as absent. What is not known is the provider's matter.
pub(crate) fn check_members(object: &RawObject<'_>, tables: &[&[Member]]) -> Result<(), Wrong> {
    let known = |name: &str| tables.iter().copied().flatten().find(|(known, _)| *known == name);
    for (place, (name, value)) in object.members().enumerate() {
        let Some((_, shape)) = known(name) else { continue };
        if object.members().take(place).any(|(earlier, _)| earlier == name) {
            return Err(Wrong::new("is given twice").in_member(name));
        }
        if value.get() != "null" {
            check(*shape, value.get()).map_err(|wrong| wrong.in_member(name))?;
        }
    }
    Ok(())
}

fn check(shape: Shape, text: &str) -> Result<(), Wrong> {
    match shape {
        Shape::StringOr(_) if text.starts_with('"') => Ok(()),
        Shape::StringOr(other) if other.fits(text) => check(*other, text),
        Shape::Each(of) if shape.fits(text) => elements(*of, text),
        Shape::Members(_) | Shape::Tagged(_) if shape.fits(text) => {
            let object = RawObject::bounded(text, MAX_MEMBERS).map_err(|_| too_many_members())?;
            check_object(shape, &object)
        }
        Shape::StringOr(_) | Shape::Each(_) | Shape::Members(_) | Shape::Tagged(_) => {
            Err(Wrong::expected(shape))
        }
        Shape::Any
        | Shape::Boolean
        | Shape::Integer
        | Shape::Number
        | Shape::String
        | Shape::Strings
        | Shape::StringOrStrings
        | Shape::Integers
        | Shape::Object
        | Shape::NumberByToken
        | Shape::Prompt
        | Shape::PromptOrParts => {
            if shape.fits(text) {
                Ok(())
            } else {
                Err(Wrong::expected(shape))
            }
        }
    }
}

fn too_many_members() -> Wrong {
    Wrong::new(format!("has more than {MAX_MEMBERS} members"))
}

fn check_object(shape: Shape, object: &RawObject<'_>) -> Result<(), Wrong> {
    let members = if let Shape::Tagged(tagged) = shape {
        tagged.members(object)?
    } else if let Shape::Members(members) = shape {
        Some(members)
    } else {
        None
    };
    let Some(members) = members else { return Ok(()) };
    check_members(object, &[members.known])?;
    let is_given = |name: &str| object.get(name).is_some_and(|value| value.get() != "null");
    match members.needed.iter().find(|name| !is_given(name)) {
        Some(name) => Err(Wrong::new("is required").in_member(name)),
        None => Ok(()),
    }
}

impl Tagged {
    /// The members of an object of this one's kind; none where that is not known.
    fn members(&self, object: &RawObject<'_>) -> Result<Option<&'static Members>, Wrong> {
        let tag = object.get(self.tag).filter(|value| value.get() != "null");
        match (string_of(tag), tag) {
            (Some(kind), _) => match self.kinds.iter().find(|(known, _)| *known == kind) {
                Some((_, members)) => Ok(Some(members)),
                None if self.is_open => Ok(None),
                None => {
                    let kinds: Vec<_> = self.kinds.iter().map(|(kind, _)| *kind).collect();
                    let what = format!("must be one of {}", kinds.join(", "));
                    Err(Wrong::new(what).in_member(self.tag))
                }
            },
            (None, None) if self.untagged.is_some() => Ok(self.untagged),
            (None, None) => Err(Wrong::new("is required").in_member(self.tag)),
            (None, Some(_)) => Err(Wrong::expected(Shape::String).in_member(self.tag)),
        }
    }
}

/// Checks the elements of the array `text`.
fn elements(shape: Shape, text: &str) -> Result<(), Wrong> {
    let mut wrong = None;
    let visitor = ElementsVisitor { shape, wrong: &mut wrong };
    // An error of its own would be one of JSON, which `text` is.
    serde_json::Deserializer::from_str(text).deserialize_seq(visitor).ok();
    wrong.map_or(Ok(()), Err)
}

struct ElementsVisitor<'w> {
    shape: Shape,
    wrong: &'w mut Option<Wrong>,
}

impl<'de> Visitor<'de> for ElementsVisitor<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            match elements.next_element_seed(Element { shape: self.shape, wrong: self.wrong }) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let wrong = self.wrong.take().unwrap_or_else(|| Wrong::expected(self.shape));
                    *self.wrong = Some(wrong.in_element(index));
                    return Err(error);
                }
            }
        }
    }
}

/// An element that is to have a shape. If it has another, why stands in `wrong`, unless it is of another JSON type altogether.
struct Element<'w> {
    shape: Shape,
    wrong: &'w mut Option<Wrong>,
}

impl Element<'_> {
    fn noted<E: Error>(self, checked: Result<(), Wrong>) -> Result<(), E> {
        checked.map_err(|wrong| {
            *self.wrong = Some(wrong);
            E::custom("wrong")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if matches!(self.shape, Shape::Members(_) | Shape::Tagged(_)) {
            return deserializer.deserialize_any(self);
        }
        let value: &RawValue = serde::Deserialize::deserialize(deserializer)?;
        let checked = check(self.shape, value.get());
        self.noted(checked)
    }
}

/// Of an element that must be an object.
impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    // That of the trait would put the whole string into the error.
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom("a string"))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut members = Vec::with_capacity(4);
        while let Some((Text(name), value)) = map.next_entry()? {
            if members.len() >= MAX_MEMBERS {
                return self.noted(Err(too_many_members()));
            }
            members.push((name, value));
        }
        let checked = check_object(self.shape, &RawObject::new(members));
        self.noted(checked)
    }
}
