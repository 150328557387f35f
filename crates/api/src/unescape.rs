/// Decodes what stands between the quotes of a valid JSON string, up to an escape that is cut off; tells how many bytes those were.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, escape) = rest.split_at(plain);
        out.extend_from_slice(before);
        let Some((character, length)) = escaped(escape) else { return text.len() - escape.len() };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    text.len()
}

/// The character of the escape that `text` begins with, and how many bytes it is; none where they are not all there.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let character = match *text.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return hexadecimal(text),
        itself => char::from(itself),
    };
    Some((character, 2))
}

/// Of `\uXXXX`, or of two that are a surrogate pair.
fn hexadecimal(text: &[u8]) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = std::str::from_utf8(text.get(from..from + 4)?).ok();
        Some(digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default())
    };
    let first = unit(2)?;
    let is_pair = (0xd800..0xdc00).contains(&first);
    let (units, length) = if is_pair { ([first, unit(8)?], 12) } else { ([first, 0], 6) };
    let character = char::decode_utf16(units).next().and_then(Result::ok);
    Some((character.unwrap_or(char::REPLACEMENT_CHARACTER), length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_from_pieces_of_any_size(text in ".*", ascii in any::<bool>(), size in 1..40_usize) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json.encode_utf16().map(|unit| match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                    _ => format!("\\u{unit:04X}"),
                }).collect();
            }
            let inside = json.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let (mut out, mut rest) = (Vec::new(), Vec::new());
            for piece in inside.as_bytes().chunks(size) {
                rest.extend_from_slice(piece);
                let decoded = unescape(&rest, &mut out);
                rest.drain(..decoded);
            }
            prop_assert_eq!((String::from_utf8(out).unwrap(), rest), (text, Vec::new()));
        }
    }

    #[test]
    fn every_escape_is_known() {
        let mut out = Vec::new();
        let text = r#"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud"#;
        let decoded = unescape(text.as_bytes(), &mut out);
        assert_eq!(
            (out.as_slice(), text.get(decoded..).unwrap()),
            ("\"\\/\u{8}\u{c}\n\r\té😀".as_bytes(), r"\ud")
        );
    }
}
