//! Rerank at providers with a form of their own.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid};
use crate::Operation;
use crate::config::ProviderKind;
use crate::shape::find_element;

/// Most documents, and what is not said.
const LIMITS: [(ProviderKind, usize, &[Limited]); 3] = [
    // <https://docs.voyageai.com/reference/reranker-api>
    (ProviderKind::Voyage, 1_000, &[("max_tokens_per_doc", &[]), ("priority", &[])]),
    // <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>
    (ProviderKind::Bedrock, 1_000, &[("priority", &[])]),
    // <https://cloud.google.com/generative-ai-app-builder/docs/reference/rest/v1/projects.locations.rankingConfigs/rank>
    (ProviderKind::Vertex, 200, &[("max_tokens_per_doc", &[]), ("priority", &[])]),
];

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    let (_, most, limited) = LIMITS.iter().find(|(of, ..)| *of == kind)?;
    let members = Members::of(Operation::Rerank, body)?;
    if let Some(reason) = first_unsaid(kind, Operation::Rerank, &members, limited) {
        return Some(reason);
    }
    let mut documents = 0;
    find_element(members.json("documents")?, |_| {
        documents += 1;
        false
    });
    let message = format!("{kind} ranks up to {most} documents");
    (documents > *most).then(|| Inexpressible::member("documents", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rerank_cannot_say_is_named() {
        let many = |count: usize| format!("\"documents\":[{}]", vec![r#""x""#; count].join(","));
        let with = |member: &str| format!("{},{member}", many(1));
        for (kind, members, param) in [
            (ProviderKind::Voyage, many(1_000), None),
            (ProviderKind::Voyage, many(1_001), Some("documents")),
            (ProviderKind::Cohere, many(1_001), None),
            (ProviderKind::Voyage, with(r#""max_tokens_per_doc":5"#), Some("max_tokens_per_doc")),
            (ProviderKind::Bedrock, with(r#""max_tokens_per_doc":5"#), None),
            (ProviderKind::Cohere, with(r#""priority":5"#), None),
            (ProviderKind::Bedrock, with(r#""priority":5"#), Some("priority")),
            (ProviderKind::Bedrock, with(r#""priority":null"#), None),
            (ProviderKind::Vertex, many(200), None),
            (ProviderKind::Vertex, many(201), Some("documents")),
            (ProviderKind::Vertex, with(r#""max_tokens_per_doc":5"#), Some("max_tokens_per_doc")),
        ] {
            let reason = inexpressible(kind, &format!("{{{members}}}"));
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{kind} {members:.60}");
        }
    }
}
