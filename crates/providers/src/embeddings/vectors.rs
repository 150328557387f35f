use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::chat::Usage;
use crate::literal::Literal;

/// More bytes than an element of `data` has besides its vector.
const AROUND_A_VECTOR: usize = 64;

/// What a provider has answered to a call.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// In the order of the call's inputs, each the JSON that the result has.
    pub(crate) vectors: Vec<String>,
    pub(crate) usage: Option<Usage>,
}

impl Vectors {
    /// Of an answer that counts the tokens that it has read.
    pub(crate) fn of(vectors: Vec<String>, tokens: Option<u64>) -> Self {
        Self { vectors, usage: tokens.map(|tokens| Usage::of(tokens, 0)) }
    }

    /// Makes base64 of arrays of numbers; none if they are not.
    pub(super) fn encode(&mut self) -> Option<()> {
        for vector in &mut self.vectors {
            let numbers: Vec<f32> = serde_json::from_str(vector).ok()?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            *vector = format!("\"{}\"", STANDARD.encode(bytes));
        }
        Some(())
    }

    pub(super) fn bytes(&self) -> usize {
        self.vectors.iter().map(String::len).sum()
    }
}

/// The result that the replies make together; none if it would be longer than `limit` bytes.
pub(super) fn compose(model: &str, replies: &[Vectors], limit: usize) -> Option<String> {
    let vectors = || replies.iter().flat_map(|reply| &reply.vectors);
    let length = vectors().map(|vector| vector.len() + AROUND_A_VECTOR).sum::<usize>() + 256 + model.len();
    if length > limit {
        return None;
    }
    let mut out = String::with_capacity(length);
    out.push_str("{\"object\":\"list\",\"data\":[");
    for (index, vector) in vectors().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.push_str(&format!("{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":"));
        out.push_str(vector);
        out.push('}');
    }
    out.push_str(&format!("],\"model\":{}", Literal::of(model).as_json()));
    if let Some(usage) = Usage::sum(replies.iter().map(|reply| reply.usage)) {
        let Usage { prompt_tokens, total_tokens, .. } = usage;
        out.push_str(&format!(
            ",\"usage\":{{\"prompt_tokens\":{prompt_tokens},\"total_tokens\":{total_tokens}}}"
        ));
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_of_little_endian_floats() {
        let mut reply = Vectors::of(vec!["[1, -0.5]".to_owned()], None);
        reply.encode().unwrap();
        assert_eq!(reply.vectors, ["\"AACAPwAAAL8=\""]);
        assert!(Vectors::of(vec!["{}".to_owned()], None).encode().is_none());
    }

    #[test]
    fn replies_are_one_list_with_one_usage() {
        let replies = [
            Vectors::of(vec!["[0.10]".to_owned(), "[2e-7]".to_owned()], Some(3)),
            Vectors::of(vec!["[3]".to_owned()], Some(4)),
        ];
        let wanted = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10]},{"object":"embedding","index":1,"embedding":[2e-7]},{"object":"embedding","index":2,"embedding":[3]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        assert_eq!(compose("m", &replies, 1000).unwrap(), wanted);
        assert!(compose("m", &replies, 300).is_none());
    }
}
