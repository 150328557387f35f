//! What a provider's error means for the request: one table of rules.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What to do with a request after one call has failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same target may succeed later.
    Retry {
        /// The provider's own wish, from `Retry-After` and its kin: wait at least this long.
        after: Option<Duration>,
        /// It is this key's pace that is too high: another key is better, if there is one.
        another_key: bool,
    },
    /// This key is of no use for this job; another may be, at once.
    NextKey,
    /// This target will not serve this request; another may.
    NextTarget,
    /// The request itself is wrong. Said by the primary, it ends the job; a fallback may only know fewer members.
    Fail,
}

/// What a provider's answer says about another try.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen<'a> {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `error.code` and `error.type`.
    pub(crate) words: [Option<&'a str>; 2],
    /// `error.message`.
    pub(crate) message: &'a str,
    /// `Retry-After` and its kin.
    pub(crate) after: Option<Duration>,
    /// `x-should-retry: false`.
    pub(crate) never: bool,
}

/// A row of the table. The first that applies decides.
struct Rule {
    /// Statuses that it is for.
    statuses: &'static [RangeInclusive<u16>],
    /// It also needs one of these as `error.code` or `error.type`, or one of the phrases; where both are empty, nothing.
    words: &'static [&'static str],
    /// Parts of `error.message`, in lower case.
    phrases: &'static [&'static str],
    then: Then,
    /// Whether it speaks of the target (or of its key), so that a run of such errors is a reason to let it rest.
    blames_target: bool,
}

#[derive(Clone, Copy)]
enum Then {
    Retry,
    RetryWithAnotherKey,
    NextKey,
    NextTarget,
    Fail,
}

/// Any error.
const ANY: &[RangeInclusive<u16>] = &[0..=999];

const RULES: &[Rule] = &[
    // The prompt is too long for this model; another's context may be larger.
    // OpenAI's and Azure's code, and llama.cpp's; the phrases are vLLM's, SGLang's, TGI's, Anthropic's, Gemini's,
    // Cohere's and Bedrock's.
    Rule {
        statuses: &[400..=499],
        words: &["context_length_exceeded", "exceed_context_size_error"],
        phrases: &[
            "maximum context length",
            "model's context length",
            "must have less than",
            "prompt is too long",
            "exceed context limit",
            "input is too long",
            "input token count",
            "context window",
            "`inputs` tokens",
            "number of tokens in the prompt",
        ],
        then: Then::NextTarget,
        blames_target: false,
    },
    // Money, not pace: waiting does not help. OpenAI's words; the phrases are Anthropic's, OpenRouter's and DeepSeek's.
    Rule {
        statuses: &[400..=400, 403..=403, 429..=429],
        words: &[
            "insufficient_quota",
            "credit_balance_exhausted",
            "billing_hard_limit_reached",
            "billing_not_active",
            "usage_limit_reached",
            "spend_limit_reached",
            "enforced_spend_limit_reached",
        ],
        phrases: &[
            "credit balance",
            "insufficient credits",
            "insufficient balance",
            "spending limit",
            "spend limit",
            "usage limit",
        ],
        then: Then::NextTarget,
        blames_target: true,
    },
    // Said with 404 by most; Hugging Face's router and some others have it as 400.
    Rule {
        statuses: &[400..=400, 422..=422],
        words: &["model_not_found", "model_not_supported"],
        phrases: &[],
        then: Then::NextTarget,
        blames_target: true,
    },
    Rule { statuses: &[401..=403], words: &[], phrases: &[], then: Then::NextKey, blames_target: true },
    Rule {
        statuses: &[429..=429],
        words: &[],
        phrases: &[],
        then: Then::RetryWithAnotherKey,
        blames_target: true,
    },
    // 424: text-generation-inference, when its model fails. 520–524: Cloudflare. 529: Anthropic is overloaded.
    Rule {
        statuses: &[408..=408, 424..=425, 500..=500, 502..=504, 520..=524, 529..=529],
        words: &[],
        phrases: &[],
        then: Then::Retry,
        blames_target: true,
    },
    Rule {
        statuses: &[400..=400, 413..=413, 422..=422],
        words: &[],
        phrases: &[],
        then: Then::Fail,
        blames_target: false,
    },
    // 404, 405, 410, and whatever else: not here.
    Rule { statuses: ANY, words: &[], phrases: &[], then: Then::NextTarget, blames_target: true },
];

impl Rule {
    fn applies(&self, seen: &Seen<'_>) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(&seen.status))
            && (self.words.is_empty() && self.phrases.is_empty() || self.is_said(seen))
    }

    fn is_said(&self, seen: &Seen<'_>) -> bool {
        let message = seen.message.to_ascii_lowercase();
        seen.words.iter().flatten().any(|word| self.words.contains(word))
            || self.phrases.iter().any(|phrase| message.contains(phrase))
    }
}

/// The verdict on an answer that is an error, and whether it speaks of the target.
pub(crate) fn of_answer(seen: &Seen<'_>) -> (Verdict, bool) {
    let Some(rule) = RULES.iter().find(|rule| rule.applies(seen)) else {
        return (Verdict::NextTarget, true);
    };
    let verdict = match rule.then {
        // The provider knows better than the table.
        Then::Retry | Then::RetryWithAnotherKey if seen.never => Verdict::NextTarget,
        Then::Retry => Verdict::Retry { after: seen.after, another_key: false },
        Then::RetryWithAnotherKey => Verdict::Retry { after: seen.after, another_key: true },
        Then::NextKey => Verdict::NextKey,
        Then::NextTarget => Verdict::NextTarget,
        Then::Fail => Verdict::Fail,
    };
    (verdict, rule.blames_target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Verdict = Verdict::Retry { after: None, another_key: false };

    fn verdict(seen: Seen<'_>) -> Verdict {
        of_answer(&seen).0
    }

    fn status(status: u16) -> Seen<'static> {
        Seen { status, ..Seen::default() }
    }

    #[test]
    fn each_status_has_its_verdict() {
        for code in [408, 424, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529] {
            assert_eq!(verdict(status(code)), RETRY, "{code}");
        }
        assert_eq!(verdict(status(429)), Verdict::Retry { after: None, another_key: true });
        for code in [401, 402, 403] {
            assert_eq!(verdict(status(code)), Verdict::NextKey, "{code}");
        }
        for code in [301, 404, 405, 409, 410, 418, 501, 505, 599] {
            assert_eq!(verdict(status(code)), Verdict::NextTarget, "{code}");
        }
        for code in [400, 413, 422] {
            assert_eq!(verdict(status(code)), Verdict::Fail, "{code}");
        }
    }

    #[test]
    fn money_is_not_pace() {
        for word in ["insufficient_quota", "credit_balance_exhausted", "usage_limit_reached"] {
            for words in [[Some(word), None], [None, Some(word)]] {
                assert_eq!(verdict(Seen { words, ..status(429) }), Verdict::NextTarget, "{word}");
            }
        }
        let message = "Your credit balance is too low to access the Anthropic API.";
        assert_eq!(verdict(Seen { message, ..status(400) }), Verdict::NextTarget);
        let message = "Rate limit reached for requests";
        assert_ne!(verdict(Seen { message, ..status(429) }), Verdict::NextTarget);
    }

    #[test]
    fn a_prompt_too_long_for_one_may_fit_another() {
        let words = [Some("context_length_exceeded"), None];
        let by_code = Seen { words, ..status(400) };
        let by_text = Seen { message: "This model's maximum context length is 4097 tokens", ..status(400) };
        for seen in [by_code, by_text] {
            assert_eq!(of_answer(&seen), (Verdict::NextTarget, false));
        }
    }

    #[test]
    fn a_provider_that_says_never_is_believed_about_retries_only() {
        for (code, then) in [(503, Verdict::NextTarget), (429, Verdict::NextTarget), (400, Verdict::Fail)] {
            assert_eq!(verdict(Seen { never: true, ..status(code) }), then, "{code}");
        }
        assert_eq!(verdict(Seen { never: true, ..status(401) }), Verdict::NextKey);
    }

    #[test]
    fn the_providers_wish_comes_along() {
        let after = Some(Duration::from_secs(7));
        assert_eq!(verdict(Seen { after, ..status(429) }), Verdict::Retry { after, another_key: true });
        assert_eq!(verdict(Seen { after, ..status(503) }), Verdict::Retry { after, another_key: false });
    }

    #[test]
    fn a_model_that_is_not_there_may_be_elsewhere() {
        let words = [Some("model_not_found"), None];
        assert_eq!(verdict(Seen { words, ..status(400) }), Verdict::NextTarget);
    }

    #[test]
    fn only_a_fault_of_the_request_spares_the_target() {
        for (code, blames) in [(400, false), (422, false), (401, true), (404, true), (429, true), (500, true)]
        {
            assert_eq!(of_answer(&status(code)).1, blames, "{code}");
        }
    }
}
