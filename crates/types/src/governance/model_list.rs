use regex::{Regex, RegexBuilder};

/// How an entry begins that is a pattern.
const PREFIX: &str = "regex:";
/// Bytes that a compiled pattern may take.
const MOST_BYTES: usize = 256 << 10;

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a regular expression after `regex:`")]
pub struct InvalidPattern;

/// What an entry of a list of models matches, if it is a pattern: whole names, in upper or lower case.
///
/// # Errors
/// For a pattern that is none.
pub fn pattern_of(entry: &str) -> Result<Option<Regex>, InvalidPattern> {
    let Some(pattern) = entry.strip_prefix(PREFIX) else { return Ok(None) };
    let build = |text: &str| {
        RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(MOST_BYTES)
            .build()
            .map_err(|_| InvalidPattern)
    };
    // Alone first: `a)(b` is none, though what is made of it would be.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z")).map(Some)
}
