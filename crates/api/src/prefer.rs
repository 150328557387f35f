//! RFC 7240: what a client would like best. Of its preferences we know `wait`.

use actix_web::http::header::{HeaderMap, HeaderName};

pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest wait, in seconds: where the idle limits of usual proxies begin. Also what `wait` without a number means, as
/// Replicate has it: <https://replicate.com/docs/topics/predictions/create-a-prediction>.
const LONGEST_SECONDS: u64 = 60;

/// How many seconds the client would wait for the answer; none where it does not say. The first `wait` counts, and what is
/// not understood is passed over.
pub(crate) fn wait_seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get_all(PREFER).flat_map(|field| split(field.as_bytes(), b',')).find_map(wait)
}

/// The seconds of a preference, `wait=10` with any parameters behind; none for another one.
fn wait(preference: &[u8]) -> Option<u64> {
    let (preference, _parameters) = divide(preference, b';');
    let (name, value) = divide(preference, b'=');
    if !name.trim_ascii().eq_ignore_ascii_case(b"wait") {
        return None;
    }
    match word(value.unwrap_or_default().trim_ascii())?.as_slice() {
        // No value and an empty one are the same.
        b"" => Some(LONGEST_SECONDS),
        digits if digits.iter().all(u8::is_ascii_digit) => {
            // What is too large for a number is too long as well.
            let seconds = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
            Some(seconds.min(LONGEST_SECONDS))
        }
        _ => None,
    }
}

/// A value without its quotes; none where one of them is missing.
fn word(value: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = value.strip_prefix(b"\"") else { return Some(value.to_vec()) };
    let mut word = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => return bytes.as_slice().is_empty().then_some(word),
            b'\\' => word.push(*bytes.next()?),
            byte => word.push(*byte),
        }
    }
}

/// What is before the first `separator` that is not in quotes, and what is behind it.
fn divide(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let at = text.iter().position(|byte| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match byte {
            b'"' if is_plain => is_quoted = !is_quoted,
            b'\\' => is_escaped = is_quoted && is_plain,
            _ => {}
        }
        *byte == separator && !is_quoted
    });
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (text, None),
    }
}

fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (first, behind) = divide(rest?, separator);
        rest = behind;
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn seconds(fields: &[&[u8]]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(PREFER, HeaderValue::from_bytes(field).unwrap());
        }
        wait_seconds(&headers)
    }

    #[test]
    fn each_form_of_a_wait_is_read() {
        for (field, expected) in [
            ("wait=10", 10),
            ("WAIT=10", 10),
            ("wait = 10", 10),
            (" wait=10 ", 10),
            ("wait=\"10\"", 10),
            ("wait=\"1\\0\"", 10),
            ("wait=010", 10),
            ("wait=0", 0),
            ("wait", 60),
            ("wait=", 60),
            ("wait=\"\"", 60),
            ("wait=61", 60),
            ("wait=99999999999999999999999999", 60),
            ("wait=10; foo=bar", 10),
            ("wait=10;", 10),
            ("wait; wait=10", 60),
            ("respond-async, wait=10", 10),
            ("respond-async,wait=10", 10),
            (",, wait=10,", 10),
            ("foo=\"a, wait=5\", wait=10", 10),
            ("foo=\"a\\\", wait=5\", wait=10", 10),
            ("foo; bar=\"a;b, wait=5\", wait=10", 10),
        ] {
            assert_eq!(seconds(&[field.as_bytes()]), Some(expected), "{field}");
        }
    }

    #[test]
    fn the_first_one_counts_whatever_field_it_is_in() {
        assert_eq!(seconds(&[b"wait=10, wait=20"]), Some(10));
        assert_eq!(seconds(&[b"wait=10", b"wait=20"]), Some(10));
        assert_eq!(seconds(&[b"respond-async", b"return=minimal, wait=20"]), Some(20));
        assert_eq!(seconds(&[b"wait=x, wait=20"]), Some(20), "what is malformed does not count");
        assert_eq!(seconds(&[b"foo=\"a, wait=5", b"wait=20"]), Some(20), "a field ends with its quotes open");
    }

    #[test]
    fn what_is_no_wait_is_passed_over() {
        for field in [
            "",
            "waits=10",
            "await=10",
            "wait=ten",
            "wait=-1",
            "wait=1.5",
            "wait=1 0",
            "wait=\"10",
            "wait=10\"",
            "wait=\"10\"0",
            "wait=\"-1\"",
            "foo=wait",
            "foo; wait=10",
            "\"wait\"=10",
            "wait wait=10",
            "=10",
            ";wait=10",
        ] {
            assert_eq!(seconds(&[field.as_bytes()]), None, "{field}");
        }
        assert_eq!(seconds(&["wait=é".as_bytes()]), None);
        assert_eq!(seconds(&["foo=\"é\", wait=10".as_bytes()]), Some(10));
        assert_eq!(seconds(&[]), None);
    }

    proptest! {
        #[test]
        fn no_field_is_too_strange(field in prop::collection::vec((b' '..=b'~').prop_union(0x80..=0xff), 0..60), n in 0..=60_u64) {
            let _: Option<u64> = seconds(&[&field]);
            prop_assert_eq!(seconds(&[format!("wait={n}").as_bytes(), &field]), Some(n));
        }
    }
}
