use super::request::RerankRequest;
use crate::chat::Usage;
use crate::literal::Literal;

/// What a provider has answered.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    pub(crate) id: Option<String>,
    /// In any order.
    pub(crate) results: Vec<Ranked>,
    pub(crate) usage: Option<Usage>,
    /// Cohere's own account, as JSON.
    pub(crate) meta: Option<String>,
}

/// One document's place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranked {
    /// In the client's list.
    pub(crate) index: usize,
    /// The more, the more relevant.
    pub(crate) score: f64,
    /// The same as the provider wrote it.
    pub(crate) written: String,
}

impl Ranked {
    /// None if the score is no JSON number.
    pub(crate) fn of(index: usize, score: &str) -> Option<Self> {
        Some(Self { index, score: score.parse().ok()?, written: score.to_owned() })
    }
}

impl Ranking {
    /// # Errors
    /// If a result is of a document that does not exist, or of one that has had its place.
    pub(super) fn check(&self, documents: usize) -> Result<(), String> {
        let mut seen = vec![false; documents];
        for Ranked { index, .. } in &self.results {
            match seen.get_mut(*index) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(format!("it ranked document {index} twice")),
                None => return Err(format!("it ranked document {index} of {documents}")),
            }
        }
        Ok(())
    }

    /// The result, best first; none if it would be longer than `limit` bytes.
    pub(super) fn compose(
        mut self,
        model: &str,
        request: &RerankRequest<'_>,
        limit: usize,
    ) -> Option<String> {
        self.results.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.results.truncate(request.wanted());
        let mut out = "{".to_owned();
        if let Some(id) = &self.id {
            out.push_str(&format!("\"id\":{},", Literal::of(id).as_json()));
        }
        out.push_str("\"results\":[");
        for (place, Ranked { index, written, .. }) in self.results.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            out.push_str(&format!("{comma}{{\"index\":{index},\"relevance_score\":{written}"));
            if let Some(document) = request.documents.get(*index).filter(|_| request.return_documents) {
                out.push_str(",\"document\":");
                document.write(&mut out);
            }
            out.push('}');
            if out.len() > limit {
                return None;
            }
        }
        out.push_str(&format!("],\"model\":{}", Literal::of(model).as_json()));
        if let Some(Usage { prompt_tokens, total_tokens, .. }) = self.usage {
            out.push_str(&format!(
                ",\"usage\":{{\"prompt_tokens\":{prompt_tokens},\"total_tokens\":{total_tokens}}}"
            ));
        }
        if let Some(meta) = &self.meta {
            out.push_str(&format!(",\"meta\":{meta}"));
        }
        out.push('}');
        (out.len() <= limit).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(results: &[(usize, &str)]) -> Ranking {
        let results = results.iter().map(|(index, score)| Ranked::of(*index, score).unwrap()).collect();
        Ranking { results, ..Ranking::default() }
    }

    #[test]
    fn the_best_come_first_with_the_clients_documents() {
        let body = r#"{"query":"q","documents":["a\u00e9",{"id":7,"text":"b"},"c"],"top_n":2,"return_documents":true}"#;
        let request = RerankRequest::parse(body).unwrap();
        assert_eq!(request.texts(), r#"["a\u00e9","b","c"]"#);
        let compose = |limit| ranking(&[(2, "-0.1"), (0, "0.10"), (1, "9e-1")]).compose("m", &request, limit);
        assert_eq!(
            compose(1000).unwrap(),
            r#"{"results":[{"index":1,"relevance_score":9e-1,"document":{"id":7,"text":"b"}},{"index":0,"relevance_score":0.10,"document":{"text":"a\u00e9"}}],"model":"m"}"#
        );
        assert!(compose(100).is_none());
    }

    #[test]
    fn each_document_has_one_place() {
        assert!(ranking(&[(1, "0"), (0, "1")]).check(2).is_ok() && ranking(&[]).check(0).is_ok());
        assert!(ranking(&[(2, "0")]).check(2).is_err() && ranking(&[(1, "0"), (1, "0")]).check(2).is_err());
    }
}
