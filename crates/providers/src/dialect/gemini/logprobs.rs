//! How likely each token was: <https://ai.google.dev/api/generate-content#LogprobsResult>

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::literal::Literal;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult<'a> {
    #[serde(borrow, default)]
    chosen_candidates: Vec<Token<'a>>,
    #[serde(borrow, default)]
    top_candidates: Vec<TopCandidates<'a>>,
}

#[derive(Deserialize)]
struct TopCandidates<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Token<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow)]
    token: Literal<'a>,
    /// A number, left out where it is 0.
    #[serde(borrow, default)]
    log_probability: Option<&'a RawValue>,
}

impl Token<'_> {
    /// As OpenAI's, less the last brace.
    fn write(&self, out: &mut String) {
        let text = self.token.decode();
        out.push_str(&format!(
            "{{\"token\":{},\"logprob\":{},\"bytes\":{:?}",
            self.token.as_json(),
            self.log_probability.map_or("0", RawValue::get),
            text.as_bytes()
        ));
    }
}

impl LogprobsResult<'_> {
    /// OpenAI's `logprobs` of a choice, as JSON.
    pub(super) fn write(&self) -> String {
        let mut out = "{\"content\":[".to_owned();
        for (place, token) in self.chosen_candidates.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            token.write(&mut out);
            out.push_str(",\"top_logprobs\":[");
            let tops = self.top_candidates.get(place).map_or(&[][..], |tops| &tops.candidates);
            for (place, top) in tops.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                top.write(&mut out);
                out.push('}');
            }
            out.push_str("]}");
        }
        out.push_str("],\"refusal\":null}");
        out
    }
}
