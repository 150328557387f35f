use std::time::Duration;

/// What to do with a request after one call has failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same target may succeed later; wait at least this long.
    Retry {
        /// The provider's own wish, from `Retry-After` and its kin.
        after: Option<Duration>,
    },
    /// This target will not serve this request; another may.
    NextTarget,
    /// No target can serve it: the request itself is wrong.
    Fail,
}

/// Codes and types that make a 429 a matter of money rather than of pace: waiting does not help.
const SPENT: [&str; 4] =
    ["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "usage_limit_reached"];

/// What a provider's answer says about another try.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints<'a> {
    /// `error.code` and `error.type`.
    pub(crate) words: [Option<&'a str>; 2],
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// `x-should-retry: false`.
    pub(crate) never: bool,
}

/// The rules, by the HTTP status of an answer that is an error.
pub(crate) fn of_status(status: u16, hints: &Hints<'_>) -> Verdict {
    let says = |word: &str| hints.words.iter().flatten().any(|said| *said == word);
    if says("context_length_exceeded") || hints.never {
        return Verdict::NextTarget;
    }
    match status {
        429 if SPENT.iter().any(|word| says(word)) => Verdict::NextTarget,
        // 424: text-generation-inference, when its model fails. 520–524: Cloudflare. 529: overloaded.
        408 | 424 | 425 | 429 | 500 | 502 | 503 | 504 | 520..=524 | 529 => {
            Verdict::Retry { after: hints.retry_after }
        }
        400 | 413 | 422 => Verdict::Fail,
        _ => Verdict::NextTarget,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_verdict() {
        let verdict = |status| of_status(status, &Hints::default());
        for status in [408, 424, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529] {
            assert_eq!(verdict(status), Verdict::Retry { after: None }, "{status}");
        }
        for status in [301, 401, 402, 403, 404, 405, 409, 410, 501] {
            assert_eq!(verdict(status), Verdict::NextTarget, "{status}");
        }
        for status in [400, 413, 422] {
            assert_eq!(verdict(status), Verdict::Fail, "{status}");
        }
    }

    #[test]
    fn words_and_headers_overrule_the_status() {
        let says = |word| Hints { words: [Some(word), None], ..Hints::default() };
        assert_eq!(of_status(429, &says("insufficient_quota")), Verdict::NextTarget);
        assert_eq!(of_status(400, &says("context_length_exceeded")), Verdict::NextTarget);
        assert_eq!(of_status(503, &Hints { never: true, ..Hints::default() }), Verdict::NextTarget);
        let after = Some(Duration::from_secs(7));
        let hints = Hints { retry_after: after, ..Hints::default() };
        assert_eq!(of_status(429, &hints), Verdict::Retry { after });
    }
}
