use aws_lc_rs::digest::{Context, SHA256};

/// Adds what JSON says to a hash: not the white space outside of strings, and members in any order. Numbers and strings count as they
/// are written. `text` is valid, and its nesting is bounded.
pub(super) fn update(hash: &mut Context, text: &str) {
    Reader { rest: text.as_bytes() }.value(hash);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, hash: &mut Context) {
        match self.next() {
            Some(b'{') => self.object(hash),
            Some(b'[') => self.array(hash),
            Some(b'"') => hash.update(self.string()),
            Some(_) => hash.update(self.scalar()),
            None => {}
        }
    }

    fn object(&mut self, hash: &mut Context) {
        self.take(1);
        let mut members = Vec::new();
        while self.next() == Some(b'"') {
            let mut member = Context::new(&SHA256);
            member.update(self.string());
            self.pass(b':');
            self.value(&mut member);
            members.push(member.finish());
            self.pass(b',');
        }
        self.pass(b'}');
        members.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        hash.update(b"{");
        hash.update(&members.len().to_le_bytes());
        for member in &members {
            hash.update(member.as_ref());
        }
    }

    fn array(&mut self, hash: &mut Context) {
        self.take(1);
        hash.update(b"[");
        while !matches!(self.next(), Some(b']') | None) {
            self.value(hash);
            hash.update(b",");
            self.pass(b',');
        }
        self.pass(b']');
        hash.update(b"]");
    }

    /// Passes white space over, and shows what comes then.
    fn next(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn pass(&mut self, wanted: u8) {
        if self.next() == Some(wanted) {
            self.take(1);
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// With its quotes.
    fn string(&mut self) -> &'a [u8] {
        let mut is_escaped = false;
        let ends = |byte: &u8| {
            let ends = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        };
        let inside = self.rest.get(1..).unwrap_or_default();
        let length = inside.iter().position(ends).map_or(self.rest.len(), |end| end + 2);
        self.take(length)
    }

    /// A number, or a word. It is never empty, so that nothing loops.
    fn scalar(&mut self) -> &'a [u8] {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
        let length = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        self.take(length.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn hash(text: &str) -> Vec<u8> {
        let mut hash = Context::new(&SHA256);
        update(&mut hash, text);
        hash.finish().as_ref().to_vec()
    }

    #[test]
    fn order_and_space_make_no_difference() {
        let written = hash(r#"{"a":[1,{"x":"y, \"z\"","n":null}],"b\"}":-1.50e3}"#);
        let other =
            "\n{ \"b\\\"}\" : -1.50e3 ,\t\"a\" : [ 1 , { \"n\":null, \"x\": \"y, \\\"z\\\"\" } ] }\r\n";
        assert_eq!(hash(other), written);
    }

    #[test]
    fn whatever_is_said_makes_one() {
        let texts = [
            "{}",
            "[]",
            "[[]]",
            "[{}]",
            "[1,2]",
            "[12]",
            "[2,1]",
            r#"["1,2"]"#,
            r#"["1","2"]"#,
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"[{"a":1},{"b":2}]"#,
            r#"[{"a":1,"b":2}]"#,
            r#"[{"b":2},{"a":1}]"#,
            r#"{"a":"b c"}"#,
            r#"{"a":"bc"}"#,
            r#"{"a":"\\"}"#,
            r#"{"a":"\\\\"}"#,
        ];
        let hashes: std::collections::BTreeSet<_> = texts.iter().map(|text| hash(text)).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_has_the_hash_of_its_value(value in json(), other in json()) {
            let compact = hash(&value.to_string());
            prop_assert_eq!(&hash(&serde_json::to_string_pretty(&value).unwrap()), &compact);
            prop_assert_eq!(hash(&other.to_string()) == compact, other == value);
        }

        #[test]
        fn what_is_no_json_does_not_hang(text in ".{0,40}") {
            hash(&text);
        }
    }
}
