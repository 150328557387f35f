//! JSON as somebody may write it, for tests of what must pass as it is.

use proptest::prelude::*;

/// An object, as text: white space, escapes, and numbers that no `f64` holds.
pub(crate) fn json_object() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        Just("-0.0".to_owned()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,4})?",
        json_string(),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            object(inner),
        ]
    });
    object(value)
}

/// A JSON string with escapes of any kind.
pub(crate) fn json_string() -> impl Strategy<Value = String> {
    "\"([ -!#-\\[\\]-~é漢]|\\\\n|\\\\u00e9|\\\\/|\\\\\"|\\\\\\\\){0,8}\""
}

/// The same, of at least a letter.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    "\"([ -!#-\\[\\]-~é漢😀]|\\\\n|\\\\u00e9|\\\\/|\\\\\"|\\\\\\\\){1,8}\""
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((json_string(), value), 0..4).prop_map(|members| {
        let members: Vec<String> =
            members.into_iter().map(|(name, value)| format!("{name} : {value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}
