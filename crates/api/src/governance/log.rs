//! What changes are logged as.

use serde_json::{Map, Value};

use crate::admin::Actor;

/// What was done to what: `created a virtual key`.
pub(super) fn changed(
    actor: &Actor,
    action: &str,
    id: &str,
    name: &str,
    old: Option<&Value>,
    new: Option<&Value>,
) {
    let (old, new) = difference(old, new);
    actor.changed(action, id, name, &old, &new);
}

/// The members that differ, of each as JSON; of what was not there before, or is not there any more, nothing and all.
fn difference(old: Option<&Value>, new: Option<&Value>) -> (String, String) {
    let empty = Map::new();
    let object = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&empty).clone();
    let (old, new) = (object(old), object(new));
    let of = |one: &Map<String, Value>, other: &Map<String, Value>| {
        let differs = |(name, value): &(&String, &Value)| other.get(*name) != Some(*value);
        let members = one.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(members.collect()).to_string()
    };
    (of(&old, &new), of(&new, &old))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_what_differs() {
        let (old, new) = (json!({"a": 1, "b": 2, "c": 3}), json!({"a": 1, "b": 4, "d": 5}));
        let (was, is) = difference(Some(&old), Some(&new));
        assert_eq!((was.as_str(), is.as_str()), (r#"{"b":2,"c":3}"#, r#"{"b":4,"d":5}"#));
        assert_eq!(difference(None, Some(&json!({"a": 1}))), ("{}".to_owned(), r#"{"a":1}"#.to_owned()));
    }
}
