//! Server-sent events as they stand on the wire: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use bytes::{Bytes, BytesMut};

/// What a stream begins with: a browser that loses it connects again after two seconds.
pub(super) const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");
/// What keeps proxies from taking a quiet stream for a dead one.
pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// What an event ends with, behind its last line.
pub(super) const END: Bytes = Bytes::from_static(b"\n\n");

/// An event whose data is JSON. `id` is what a client shows when it connects again.
pub(super) fn event(name: &str, id: Option<u64>, json: String) -> Bytes {
    let mut event = begin(name, id);
    event.extend_from_slice(&lines(json.into()));
    event.extend_from_slice(&END);
    event.freeze()
}

/// An event up to its data.
pub(super) fn begin(name: &str, id: Option<u64>) -> BytesMut {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    BytesMut::from(format!("{id}event: {name}\ndata: ").as_bytes())
}

/// A piece of JSON as a part of an event's data, in which each line has a name of its own.
///
/// A provider's text may have newlines between its tokens, never within one. A line also ends at a carriage return; a blank means
/// the same to JSON.
pub(super) fn lines(json: Bytes) -> Bytes {
    let breaks = json.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    if breaks == 0 {
        return json;
    }
    let mut lines = BytesMut::with_capacity(json.len() + breaks * NEXT_LINE.len());
    for byte in json {
        match byte {
            b'\n' => lines.extend_from_slice(NEXT_LINE),
            b'\r' => lines.extend_from_slice(b" "),
            byte => lines.extend_from_slice(&[byte]),
        }
    }
    lines.freeze()
}

const NEXT_LINE: &[u8] = b"\ndata: ";

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of an event, as a browser puts it together.
    fn data(event: &[u8]) -> String {
        let text = std::str::from_utf8(event).unwrap();
        assert!(!text.contains('\r') && text.ends_with("\n\n"));
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        data.join("\n")
    }

    #[test]
    fn an_event_has_a_name_an_id_and_its_data() {
        assert_eq!(&event("status", Some(3), "{}".to_owned())[..], b"id: 3\nevent: status\ndata: {}\n\n");
        assert_eq!(&event("error", None, "{}".to_owned())[..], b"event: error\ndata: {}\n\n");
    }

    #[test]
    fn newlines_between_tokens_stay_within_the_event() {
        let json = "{\"a\": 1,\n \"b\": \"x\\n\",\r\n\n\r \"c\": [\n]}";
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        for size in 1..json.len() {
            let mut whole = begin("end", Some(1));
            for piece in json.as_bytes().chunks(size) {
                whole.extend_from_slice(&lines(Bytes::copy_from_slice(piece)));
            }
            whole.extend_from_slice(&END);
            let data = data(&whole);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), expected);
            assert_eq!(data, json.replace('\r', " "));
        }
    }
}
