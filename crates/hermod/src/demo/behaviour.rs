use std::str::FromStr;
use std::time::Duration;

/// What a model's name makes the demo provider do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// `echo`: answers with what was sent, at once.
    Echo,
    /// `slow-2s`, `slow-500ms`: the same, after that time.
    Slow(Duration),
    /// `fail-503`: an error with this status; `fail-429` also says `Retry-After: 1`.
    Fail(u16),
    /// `flaky-30`: fails this share of the calls, in percent, with a 500; evenly spread.
    Flaky(u8),
    /// `bytes-10485760`: answers with so many bytes of text, audio or image; `empty`: with none.
    Bytes(usize),
    /// `hang`: never answers.
    Hang,
    /// `drip`: answers with a byte a second.
    Drip,
    /// `html`: a page, with 200.
    Html,
    /// `error-200`: an error, with 200, that has used 7 tokens of the prompt and 3 of the answer.
    ErrorWith200,
    /// `leak`: a 401 that repeats all headers with the key, as careless providers do.
    Leak,
    /// `retry-after-20`: a 503 with this `Retry-After`.
    RetryAfter,
    /// `refuses-first`: a 401 to the key `first`, an answer to all others.
    Refuses,
    /// `limits-first`: a 429 with `Retry-After: 30` to the key `first`, an answer to all others.
    Limits,
    /// `broken`: the connection ends in the middle of the answer.
    Broken,
    /// `cut`: half of the answer, as if it were all of it.
    Cut,
}

/// The most that `bytes-N` answers.
const MOST_BYTES: usize = 256 << 20;

/// What an unknown model is told.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model does not exist; try echo, slow-2s, slow-500ms, fail-503, flaky-30, retry-after-20, refuses-first, limits-first, empty, bytes-1000, hang, drip, html, error-200, leak, broken or cut"
)]
pub struct UnknownModel;

impl FromStr for Behaviour {
    type Err = UnknownModel;

    fn from_str(model: &str) -> Result<Self, UnknownModel> {
        let (name, value) = model.split_once('-').unwrap_or((model, ""));
        match name {
            "echo" => Some(Self::Echo),
            "empty" => Some(Self::Bytes(0)),
            "bytes" => value.parse().ok().filter(|bytes| *bytes <= MOST_BYTES).map(Self::Bytes),
            "hang" => Some(Self::Hang),
            "drip" => Some(Self::Drip),
            "html" => Some(Self::Html),
            "broken" => Some(Self::Broken),
            "cut" => Some(Self::Cut),
            "leak" => Some(Self::Leak),
            "retry" if value.starts_with("after-") => Some(Self::RetryAfter),
            "error" if value == "200" => Some(Self::ErrorWith200),
            "refuses" if !value.is_empty() => Some(Self::Refuses),
            "limits" if !value.is_empty() => Some(Self::Limits),
            "slow" => duration(value).map(Self::Slow),
            "fail" => value.parse().ok().filter(|status| (300..600).contains(status)).map(Self::Fail),
            "flaky" => value.parse().ok().filter(|percent| *percent <= 100).map(Self::Flaky),
            _ => None,
        }
        .ok_or(UnknownModel)
    }
}

fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_what_happens() {
        for (model, behaviour) in [
            ("echo", Behaviour::Echo),
            ("slow-2s", Behaviour::Slow(Duration::from_secs(2))),
            ("slow-500ms", Behaviour::Slow(Duration::from_millis(500))),
            ("fail-503", Behaviour::Fail(503)),
            ("flaky-30", Behaviour::Flaky(30)),
            ("error-200", Behaviour::ErrorWith200),
            ("refuses-first", Behaviour::Refuses),
            ("empty", Behaviour::Bytes(0)),
            ("bytes-70", Behaviour::Bytes(70)),
        ] {
            assert_eq!(model.parse::<Behaviour>().unwrap(), behaviour);
        }
        for model in [
            "",
            "gpt-4",
            "slow-",
            "slow-2",
            "fail-200",
            "fail-x",
            "flaky-101",
            "error-500",
            "bytes-",
            "bytes-999999999999",
        ] {
            assert!(model.parse::<Behaviour>().is_err(), "{model}");
        }
    }
}
