//! Where the media stands in a result's JSON, so that its bytes can be served without the whole being read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::shape::string_of;
use crate::{Operation, RawObject};

/// Media within a result's JSON: a part of the text of one string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPart {
    /// Where its text begins in the result, behind the quote: an offset in bytes.
    pub at: u64,
    /// Bytes of that text, up to the other quote.
    pub length: u64,
    /// Bytes of what it stands for.
    pub size: u64,
    pub encoding: MediaEncoding,
    /// The media type.
    pub content_type: String,
}

/// How bytes are written in a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaEncoding {
    /// Standard base64 with padding, without an escape.
    Base64,
    /// UTF-8 with JSON's escapes.
    JsonText,
}

/// How many images of one result can be asked for: OpenAI makes at most 10.
const MOST_PARTS: usize = 128;

/// The media of the `result` of a job of this kind, in order.
///
/// None stands for what has no bytes in the result, or none that can be served without the whole being read: an image that is a `url`,
/// base64 with escapes, or base64 that is cut off.
pub fn media_of(operation: Operation, result: &str) -> Vec<Option<MediaPart>> {
    let find = match operation {
        Operation::Speech => return vec![speech(result)],
        Operation::Transcription => transcription,
        Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => images,
        Operation::TextCompletion
        | Operation::ChatCompletion
        | Operation::Responses
        | Operation::Embedding
        | Operation::Rerank
        | Operation::Ocr
        | Operation::Messages => return Vec::new(),
    };
    serde_json::from_str(result).map_or_else(|_| Vec::new(), |object| find(result, &object))
}

/// A worker writes the audio first: it is long, and is not read as JSON once more.
fn speech(result: &str) -> Option<MediaPart> {
    let (audio, rest) = result.strip_prefix("{\"audio\":\"")?.split_once('"')?;
    let rest = format!("{{{}", rest.trim_start_matches(','));
    let object: RawObject<'_> = serde_json::from_str(&rest).ok()?;
    let content_type = string_of(object.get("content_type")).unwrap_or(Cow::Borrowed(UNKNOWN));
    base64_text(result, audio, &content_type)
}

fn transcription(result: &str, object: &RawObject<'_>) -> Vec<Option<MediaPart>> {
    vec![object.get("text").and_then(|text| json_text(result, text))]
}

fn images(result: &str, object: &RawObject<'_>) -> Vec<Option<MediaPart>> {
    let content_type = match string_of(object.get("output_format")).as_deref() {
        None | Some("png") => "image/png",
        Some("jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some(_) => UNKNOWN,
    };
    let data = object.get("data").map_or("[]", |data| data.get());
    let images: Vec<Image<'_>> = serde_json::from_str(data).unwrap_or_default();
    let part = |image: &Image<'_>| base64(result, image.b64_json?, content_type);
    images.iter().take(MOST_PARTS).map(part).collect()
}

const UNKNOWN: &str = "application/octet-stream";

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    b64_json: Option<&'a RawValue>,
}

fn base64(result: &str, value: &RawValue, content_type: &str) -> Option<MediaPart> {
    base64_text(result, inside(value)?, content_type)
}

fn base64_text(result: &str, text: &str, content_type: &str) -> Option<MediaPart> {
    if text.is_empty() || !text.len().is_multiple_of(4) || text.contains('\\') {
        return None;
    }
    let padding = text.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    let size = text.len() / 4 * 3 - padding;
    part(result, text, size, MediaEncoding::Base64, content_type)
}

fn json_text(result: &str, value: &RawValue) -> Option<MediaPart> {
    let size = string_of(Some(value))?.len();
    part(result, inside(value)?, size, MediaEncoding::JsonText, "text/plain; charset=utf-8")
}

/// What stands between the quotes of a string.
fn inside(value: &RawValue) -> Option<&str> {
    value.get().strip_prefix('"')?.strip_suffix('"')
}

/// `text` is a part of `result`.
fn part(
    result: &str,
    text: &str,
    size: usize,
    encoding: MediaEncoding,
    content_type: &str,
) -> Option<MediaPart> {
    let at = text.as_ptr().addr().checked_sub(result.as_ptr().addr())?;
    Some(MediaPart {
        at: u64::try_from(at).ok()?,
        length: u64::try_from(text.len()).ok()?,
        size: u64::try_from(size).ok()?,
        encoding,
        content_type: content_type.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::json_string;

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = (0..3).fold(0, |word, index| word << 8 | usize::from(*chunk.get(index).unwrap_or(&0)));
            for index in 0..4 {
                let digit = char::from(ALPHABET[word >> (18 - 6 * index) & 63]);
                text.push(if index <= chunk.len() { digit } else { '=' });
            }
        }
        text
    }

    fn decode(text: &str) -> Vec<u8> {
        let digits = text.trim_end_matches('=').bytes();
        let digits: Vec<_> =
            digits.map(|byte| ALPHABET.iter().position(|known| *known == byte).unwrap()).collect();
        let word = |chunk: &[usize]| (0..4).fold(0, |word, index| word << 6 | chunk.get(index).unwrap_or(&0));
        let bytes = |chunk: &[usize]| {
            let word = word(chunk);
            (0..chunk.len() - 1)
                .map(move |index| u8::try_from(word >> (16 - 8 * index) & 255).unwrap())
                .collect::<Vec<_>>()
        };
        digits.chunks(4).flat_map(bytes).collect()
    }

    /// The bytes of a part, as a server would read them: from the place that it names.
    fn bytes_of(result: &str, part: &MediaPart) -> Vec<u8> {
        let place = usize::try_from(part.at).unwrap();
        let text = result.get(place..place + usize::try_from(part.length).unwrap()).unwrap();
        match part.encoding {
            MediaEncoding::Base64 => decode(text),
            MediaEncoding::JsonText => {
                serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap().into_bytes()
            }
        }
    }

    #[test]
    fn what_has_no_bytes_keeps_its_place() {
        let result = r#"{"data":[{"url":"https://x"},{"b64_json":"QUI="},{"b64_json":"QUI"},{"b64_json":"QU\/="},{"b64_json":null},
            {"b64_json":""},{"b64_json":7},{"revised_prompt":"b64_json","b64_json" : "QUJD"}],"output_format":"webp"}"#;
        let parts = media_of(Operation::ImageEdit, result);
        let sizes: Vec<_> = parts.iter().map(|part| part.as_ref().map(|part| part.size)).collect();
        assert_eq!(sizes, [None, Some(2), None, None, None, None, None, Some(3)]);
        let last = parts[7].as_ref().unwrap();
        assert_eq!((bytes_of(result, last), last.content_type.as_str()), (b"ABC".to_vec(), "image/webp"));
    }

    #[test]
    fn the_media_type_is_the_results() {
        let of = |operation, result: &str| media_of(operation, result).remove(0).unwrap().content_type;
        let image = |more: &str| {
            of(Operation::ImageGeneration, &format!(r#"{{"data":[{{"b64_json":"QUJD"}}]{more}}}"#))
        };
        assert_eq!(image(""), "image/png");
        assert_eq!(image(r#","output_format":"png""#), "image/png");
        assert_eq!(image(r#","output_format":"jpeg""#), "image/jpeg");
        assert_eq!(image(r#","output_format":"heic""#), "application/octet-stream");
        assert_eq!(of(Operation::Speech, r#"{"audio":"QUJD","content_type":"audio/wav"}"#), "audio/wav");
        assert_eq!(of(Operation::Speech, r#"{"audio":"QUJD"}"#), "application/octet-stream");
        assert_eq!(of(Operation::Transcription, r#"{"text":""}"#), "text/plain; charset=utf-8");
    }

    #[test]
    fn other_results_have_none() {
        let result = r#"{"text":"a","audio":"QUJD","data":[{"b64_json":"QUJD"}]}"#;
        for operation in [
            Operation::TextCompletion,
            Operation::ChatCompletion,
            Operation::Responses,
            Operation::Embedding,
            Operation::Rerank,
            Operation::Ocr,
            Operation::Messages,
        ] {
            assert_eq!(media_of(operation, result), []);
        }
        assert_eq!(media_of(Operation::Speech, "{}"), [None]);
        assert_eq!(media_of(Operation::Transcription, r#"{"text":["a"]}"#), [None]);
        assert_eq!(media_of(Operation::ImageEdit, "{\"data\":{}}"), []);
        assert_eq!(media_of(Operation::Transcription, "not JSON"), []);
        let many = format!(r#"{{"data":[{}{{}}]}}"#, "{},".repeat(200));
        assert_eq!(media_of(Operation::ImageEdit, &many).len(), MOST_PARTS);
    }

    proptest! {
        #[test]
        fn audio_cut_out_and_decoded_is_what_went_in(bytes in proptest::collection::vec(any::<u8>(), 1..100), after in ".*") {
            let result = format!(r#"{{"audio":"{}","x":{},"content_type":"audio/mpeg"}}"#, encode(&bytes), json_string(&after));
            let part = media_of(Operation::Speech, &result).remove(0).unwrap();
            prop_assert_eq!(part.size, u64::try_from(bytes.len()).unwrap());
            prop_assert_eq!(bytes_of(&result, &part), bytes);
        }

        #[test]
        fn text_cut_out_and_decoded_is_what_went_in(text in "(?s).*", before in ".*") {
            let result = format!(r#"{{"x":{},"text":{}}}"#, json_string(&before), json_string(&text));
            let part = media_of(Operation::Transcription, &result).remove(0).unwrap();
            prop_assert_eq!(part.size, u64::try_from(text.len()).unwrap());
            prop_assert_eq!(bytes_of(&result, &part), text.into_bytes());
        }

        #[test]
        fn images_cut_out_and_decoded_are_what_went_in(
            images in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..5), between in "[ \n]{0,3}"
        ) {
            let data: Vec<_> = images.iter().map(|bytes| format!(r#"{{"b64_json":{between}"{}"}}"#, encode(bytes))).collect();
            let result = format!(r#"{{"created":1,"data":[{}]}}"#, data.join(&format!("{between},")));
            let found: Vec<_> = media_of(Operation::ImageGeneration, &result)
                .into_iter()
                .map(|part| bytes_of(&result, &part.unwrap()))
                .collect();
            prop_assert_eq!(found, images);
        }
    }
}
