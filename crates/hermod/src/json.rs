//! JSON as the text that it is: no number is too large, and all is printed as it came.

use hermod_types::RawObject;
use serde_json::value::RawValue;

/// A value, or what stands in place of one that is not there: `null`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(Option<&'a RawValue>);

impl<'a> Json<'a> {
    pub(crate) const fn new(value: &'a RawValue) -> Self {
        Self(Some(value))
    }

    /// An amount of dollars without an exponent, to a billionth; as it stands where it is no number.
    pub(crate) fn dollars(self) -> String {
        let Ok(dollars) = self.raw().parse::<f64>() else { return self.raw().to_owned() };
        let text = format!("{dollars:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// As it was written.
    pub(crate) fn raw(self) -> &'a str {
        self.0.map_or("null", RawValue::get)
    }

    pub(crate) fn is_null(self) -> bool {
        self.raw() == "null"
    }

    /// An object's member.
    pub(crate) fn get(self, name: &str) -> Self {
        Self(serde_json::from_str::<RawObject<'a>>(self.raw()).ok().and_then(|object| object.get(name)))
    }

    /// An array's elements; of anything else, none.
    pub(crate) fn items(self) -> impl Iterator<Item = Self> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw()).unwrap_or_default();
        items.into_iter().map(Self::new)
    }

    /// A string's text; as it was written where that is no Unicode.
    pub(crate) fn string(self) -> Option<String> {
        let raw = self.raw();
        raw.starts_with('"').then(|| serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
    }
}

/// A line for each member and element, two blanks deeper than what it is in; all else as it was written.
pub(crate) fn pretty(json: &str) -> String {
    // Deeper than this it is only longer, not clearer.
    const DEEPEST: usize = 64;
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    let mut out = String::with_capacity(json.len());
    let mut depth = 0_usize;
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' => {
                out.push(character);
                while let Some(inside) = rest.next() {
                    out.push(inside);
                    match inside {
                        '"' => break,
                        '\\' => out.extend(rest.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        newline(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' | '\t' | '\n' | '\r' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_was_written() {
        let written = r#"{"z":[1e400, -0.10,{ },[]],"a":"{\"b\":[1,2]} \\","n":{"y":12345678901234567890123,"x":null}}"#;
        let printed = r#"{
  "z": [
    1e400,
    -0.10,
    {},
    []
  ],
  "a": "{\"b\":[1,2]} \\",
  "n": {
    "y": 12345678901234567890123,
    "x": null
  }
}"#;
        assert_eq!(pretty(written), printed);
        assert_eq!(pretty(printed), printed);
        assert!(pretty(&"[".repeat(10_000)).len() < 2_000_000);
    }

    #[test]
    fn what_is_not_there_is_null() {
        let raw: &RawValue = serde_json::from_str(r#"{"a":[{"b":"\u00e9"},"\ud800"],"n":1e400}"#).unwrap();
        let json = Json::new(raw);
        assert!(json.get("b").is_null() && json.get("n").get("b").is_null());
        assert_eq!(json.get("n").raw(), "1e400");
        assert_eq!((json.get("n").items().count(), json.get("n").string()), (0, None));
        let items: Vec<_> = json.get("a").items().collect();
        assert_eq!(items[0].get("b").string().as_deref(), Some("é"));
        assert_eq!(items[1].string().as_deref(), Some(r#""\ud800""#));
    }

    #[test]
    fn dollars_have_no_exponent() {
        for (written, shown) in
            [("9e-6", "0.000009"), ("40", "40"), ("40.50", "40.5"), ("0.0", "0"), ("null", "null")]
        {
            let raw: &RawValue = serde_json::from_str(written).unwrap();
            assert_eq!(Json::new(raw).dollars(), shown);
        }
    }
}
