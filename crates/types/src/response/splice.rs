use super::echo::PREVIOUS;
use super::{ResponseEcho, ResponseId};

/// Names of members are compared up to this length, in bytes; longer ones are none of ours.
const LONGEST_NAME: usize = 64;

/// An id of a provider's is read up to this length, in bytes.
const LONGEST_ID: usize = 1024;

const ID: &str = "id";

/// Makes a provider's Response ours while it is read: piece by piece, at any size, and whatever the order of its members.
///
/// Its `id`, `background` and, where it follows another one, `previous_response_id` are written anew. All else stays as it is written.
#[derive(Debug)]
pub struct ResponseSplice {
    members: Vec<Member>,
    /// Arrays and objects that are open.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// What is in quotes is the name of a member, or was when they ended.
    is_name: bool,
    /// The name of the member that is read, as far as it counts.
    name: Vec<u8>,
    has_members: bool,
    /// The member whose value is read and not written, by its place.
    left_out: Option<usize>,
    /// The provider's id, as JSON, as far as it was read.
    their_id: Vec<u8>,
}

#[derive(Debug)]
struct Member {
    name: &'static str,
    /// JSON.
    value: String,
    is_written: bool,
}

impl ResponseSplice {
    /// For the Response with this id, whose request was this.
    pub fn new(id: ResponseId, echo: &ResponseEcho) -> Self {
        let member = |name, value| Member { name, value, is_written: false };
        let mut members =
            vec![member(ID, format!("\"{id}\"")), member("background", echo.is_background().to_string())];
        if let Some(previous) = echo.previous() {
            members.push(member(PREVIOUS, format!("\"{previous}\"")));
        }
        Self {
            members,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            is_name: false,
            name: Vec::new(),
            has_members: false,
            left_out: None,
            their_id: Vec::new(),
        }
    }

    /// All of one that is in memory.
    pub fn whole(mut self, json: &str) -> Vec<u8> {
        self.piece(json.as_bytes())
    }

    /// What becomes of the next piece.
    pub fn piece(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + LONGEST_NAME);
        // What was read before is written, or left out.
        let mut done = 0;
        for (at, byte) in piece.iter().copied().enumerate() {
            if self.is_in_string {
                self.read_string(byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.is_in_string = true;
                    if self.is_name {
                        self.name.clear();
                    }
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.is_name = self.depth == 1;
                }
                b':' if self.depth == 1 => {
                    self.is_name = false;
                    self.has_members = true;
                    if let Some(member) = self.ours() {
                        out.extend_from_slice(piece.get(done..=at).unwrap_or_default());
                        out.extend_from_slice(member.value.as_bytes());
                        done = at + 1;
                    }
                }
                b',' if self.depth == 1 => {
                    self.is_name = true;
                    self.leave_out(piece, &mut done, at);
                    self.left_out = None;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.leave_out(piece, &mut done, at);
                        self.left_out = None;
                        out.extend_from_slice(piece.get(done..at).unwrap_or_default());
                        done = at;
                        self.write_missing(&mut out);
                    }
                }
                _ => {}
            }
        }
        self.leave_out(piece, &mut done, piece.len());
        out.extend_from_slice(piece.get(done..).unwrap_or_default());
        out
    }

    /// What the provider calls it; none until that was read.
    pub fn their_id(&self) -> Option<String> {
        serde_json::from_slice(&self.their_id).ok()
    }

    fn read_string(&mut self, byte: u8) {
        let was_escaped = std::mem::take(&mut self.is_escaped);
        match byte {
            b'"' if !was_escaped => self.is_in_string = false,
            b'\\' if !was_escaped => self.is_escaped = true,
            _ => {}
        }
        if self.is_name && self.is_in_string && self.name.len() <= LONGEST_NAME {
            self.name.push(byte);
        }
    }

    /// What stands for the member whose name was read; none for one that stays.
    fn ours(&mut self) -> Option<&Member> {
        // An escape in it may hide any name.
        let quoted = [b"\"", self.name.as_slice(), b"\""].concat();
        let name: String = serde_json::from_slice(&quoted).ok()?;
        let place = self.members.iter().position(|member| member.name == name)?;
        self.left_out = Some(place);
        let member = self.members.get_mut(place)?;
        member.is_written = true;
        Some(member)
    }

    /// Passes over what was read of a value that is not written, up to `at`.
    fn leave_out(&mut self, piece: &[u8], done: &mut usize, at: usize) {
        let Some(member) = self.left_out.and_then(|place| self.members.get(place)) else { return };
        let value = piece.get(*done..at).unwrap_or_default();
        if member.name == ID && self.their_id.len() + value.len() <= LONGEST_ID {
            self.their_id.extend_from_slice(value);
        }
        *done = at;
    }

    fn write_missing(&mut self, out: &mut Vec<u8>) {
        for member in self.members.iter_mut().filter(|member| !member.is_written && member.name != PREVIOUS) {
            let comma = if std::mem::replace(&mut self.has_members, true) { "," } else { "" };
            out.extend_from_slice(format!("{comma}\"{}\":{}", member.name, member.value).as_bytes());
            member.is_written = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn id() -> ResponseId {
        "resp_019c74f325677a60bcdad6ee3a081000".parse().unwrap()
    }

    fn splice() -> ResponseSplice {
        ResponseSplice::new(id(), &ResponseEcho::of_job("a/b"))
    }

    fn spliced(text: &str, piece: usize) -> String {
        let mut splice = splice();
        let out = text.as_bytes().chunks(piece).flat_map(|chunk| splice.piece(chunk));
        String::from_utf8(out.collect()).unwrap()
    }

    #[test]
    fn two_members_are_written_anew_and_all_else_stays() {
        let id = id();
        for (theirs, ours) in [
            (
                r#"{"id":"resp_1","object":"response","n": 1.50,"background":false,"extra_fields":{}}"#,
                format!(
                    r#"{{"id":"{id}","object":"response","n": 1.50,"background":true,"extra_fields":{{}}}}"#
                ),
            ),
            (
                r#"{ "output" : [{"id":"msg_1","background":0}], "a\"":"\\", "id" : {"x":["id",{}]} , "z":null }"#,
                format!(
                    r#"{{ "output" : [{{"id":"msg_1","background":0}}], "a\"":"\\", "id" :"{id}", "z":null ,"background":true}}"#
                ),
            ),
            (
                "{\"\\u0069d\":1,\"id\": \"a,}\",\"x\":\"id\",\"background\":null\n}\n",
                format!("{{\"\\u0069d\":\"{id}\",\"id\":\"{id}\",\"x\":\"id\",\"background\":true}}\n"),
            ),
            (r#"{"x":":,\"id\":1"}"#, format!(r#"{{"x":":,\"id\":1","id":"{id}","background":true}}"#)),
            ("{}", format!(r#"{{"id":"{id}","background":true}}"#)),
        ] {
            for piece in [1, 2, 3, 7, theirs.len()] {
                assert_eq!(spliced(theirs, piece), ours, "in pieces of {piece}");
            }
            let whole = splice().whole(theirs);
            assert_eq!(String::from_utf8(whole).unwrap(), ours);
        }
    }

    #[test]
    fn the_providers_id_is_known_once_it_was_read() {
        let theirs = r#"{"output":[{"id":"msg_1"}], "id" : "resp_\u0061" , "background":false}"#;
        for piece in [1, 5, theirs.len()] {
            let mut splice = splice();
            assert_eq!(splice.their_id(), None);
            for chunk in theirs.as_bytes().chunks(piece) {
                splice.piece(chunk);
            }
            assert_eq!(splice.their_id().as_deref(), Some("resp_a"), "in pieces of {piece}");
        }
        let mut none = splice();
        none.piece(format!(r#"{{"id":"{}"}}"#, "x".repeat(LONGEST_ID)).as_bytes());
        assert_eq!(none.their_id(), None);
    }

    #[test]
    fn one_that_follows_another_names_it_as_its_client_did() {
        let before = id();
        let request = format!(r#"{{"model":"m","background":true,"previous_response_id":"{before}"}}"#);
        let echo = ResponseEcho::of(&serde_json::from_str(&request).unwrap());
        let whole =
            |theirs: &str| String::from_utf8(ResponseSplice::new(before, &echo).whole(theirs)).unwrap();
        assert_eq!(
            whole(r#"{"previous_response_id":"resp_1","id":"resp_2","background":false}"#),
            format!(r#"{{"previous_response_id":"{before}","id":"{before}","background":true}}"#)
        );
        let without = whole(r#"{"id":"resp_2"}"#);
        assert_eq!(
            without,
            format!(r#"{{"id":"{before}","background":true}}"#),
            "it is not said where it was not"
        );
        // Another's is the provider's.
        let echo = ResponseEcho::of(
            &serde_json::from_str(r#"{"model":"m","previous_response_id":"resp_1"}"#).unwrap(),
        );
        let theirs = r#"{"previous_response_id":"resp_1","id":1,"background":1}"#;
        let ours = String::from_utf8(ResponseSplice::new(before, &echo).whole(theirs)).unwrap();
        assert!(ours.starts_with(r#"{"previous_response_id":"resp_1","#), "{ours}");
    }

    /// JSON of any kind, three deep at most.
    fn any_json() -> impl Strategy<Value = Value> {
        let name = prop_oneof!["id|background|[a-z\"\\\\:,{}]{0,4}", "\\PC{0,3}"];
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            name.clone().prop_map(Value::from),
            Just(Value::Null)
        ];
        leaf.prop_recursive(3, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_response_is_read_as_the_same_but_for_these_members(json in any_json(), piece in 1..40_usize, pretty in any::<bool>()) {
            let mut expected = if json.is_object() { json } else { serde_json::json!({"output": json}) };
            let text = if pretty { format!("{expected:#}") } else { expected.to_string() };
            let ours: Value = serde_json::from_str(&spliced(&text, piece)).unwrap();
            expected["id"] = Value::from(id().to_string());
            expected["background"] = Value::from(true);
            prop_assert_eq!(ours, expected);
        }
    }
}
