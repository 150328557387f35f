//! Bodies that are JSON objects. What serde derives for a struct would also take a list of the values of its members.

/// Has types read from an object alone. Each derives `Deserialize` with `#[serde(remote = "Self")]`.
macro_rules! read_from_object {
    ($($type:ident),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        out.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        // The derived one.
                        <$type>::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    )+};
}

pub(crate) use read_from_object;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(remote = "Self", deny_unknown_fields)]
    struct Pair {
        left: u8,
        #[serde(default)]
        right: Option<Box<Pair>>,
    }

    read_from_object!(Pair);

    #[test]
    fn a_list_of_values_is_no_object() {
        let read = |text: &str| serde_json::from_str::<Pair>(text).map_err(|error| error.to_string());
        let pair = read(r#"{"left": 1, "right": {"left": 2}}"#).unwrap();
        assert_eq!((pair.left, pair.right.map(|right| right.left)), (1, Some(2)));
        for wrong in ["[1, null]", r#"{"left": 1, "right": [2]}"#, r#""left""#, "null"] {
            assert!(read(wrong).unwrap_err().contains("expected an object"), "{wrong}");
        }
        assert!(read(r#"{"left": 1, "middle": 2}"#).unwrap_err().contains("unknown field `middle`"));
    }
}
