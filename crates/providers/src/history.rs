//! Conversations that have been with another provider, as one takes them that refuses what is not its own: what others, or we, have
//! added to an answer is left out, and all else stays the text that it is.

use std::borrow::Cow;

use hermod_types::RawObject;
use serde_json::value::RawValue;

use crate::literal::Literal;

/// Who can read a thought, where no provider says so. It stands beside each thought that we have written, and shows it as such.
pub(crate) const UNKNOWN: &str = "unknown";

/// What becomes of an element.
pub(crate) enum Change {
    Stays,
    Goes,
    Becomes(String),
}

/// The object with another value of a member; none where that stays as it is.
pub(crate) fn changed(json: &str, member: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let object: RawObject<'_> = serde_json::from_str(json).ok()?;
    let value = change(object.get(member)?.get())?;
    let mut out = String::with_capacity(json.len());
    out.push('{');
    for (name, theirs) in object.members() {
        if !out.ends_with('{') {
            out.push(',');
        }
        out.push_str(Literal::of(name).as_json());
        out.push(':');
        out.push_str(if name == member { &value } else { theirs.get() });
    }
    out.push('}');
    Some(out)
}

/// The list with its elements changed; none where all stay, or it is no list.
pub(crate) fn each(json: &str, change: impl Fn(&str) -> Change) -> Option<String> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let changes: Vec<Change> = elements.iter().map(|element| change(element.get())).collect();
    if changes.iter().all(|change| matches!(change, Change::Stays)) {
        return None;
    }
    let left = elements.iter().zip(&changes).filter_map(|(element, change)| match change {
        Change::Stays => Some(element.get()),
        Change::Goes => None,
        Change::Becomes(text) => Some(text.as_str()),
    });
    Some(format!("[{}]", left.collect::<Vec<_>>().join(",")))
}

/// The object without some of its members.
pub(crate) fn without(json: &str, members: &[&str]) -> Change {
    let Ok(object) = serde_json::from_str::<RawObject<'_>>(json) else { return Change::Stays };
    if !object.members().any(|(name, _)| members.contains(&name)) {
        return Change::Stays;
    }
    let mut out = "{".to_owned();
    object.write_members(&mut out, |name| !members.contains(&name));
    out.push('}');
    Change::Becomes(out)
}

/// Who can read a thought that was sent back: `native`, who alone writes none beside their own, or none where that is not known.
pub(crate) fn reader<'a>(format: Option<Cow<'a, str>>, native: &'static str) -> Option<Cow<'a, str>> {
    Some(format.unwrap_or(Cow::Borrowed(native))).filter(|format| format != UNKNOWN)
}
