//! Rerank, by Google Cloud's Discovery Engine, which is at another address than the models:
//! <https://cloud.google.com/generative-ai-app-builder/docs/reference/rest/v1/projects.locations.rankingConfigs/rank>

use hermod_types::config::KeyAccess;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{path_segment, root};
use super::{Vertex, authorized, model_name};
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::request_body::RequestBody;
use crate::rerank::{Ranked, Ranking, Rerank, RerankRequest};

impl Rerank for Vertex {
    fn request(&self, ask: &Ask<'_>, request: &RerankRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&["user", "priority"]);
        body.own("model", Literal::of(model_name(ask.model)).as_json());
        body.own("query", request.query.as_json());
        let records = request.documents.iter().enumerate();
        let records: Vec<String> = records
            .map(|(index, document)| {
                format!("{{\"id\":\"{index}\",\"content\":{}}}", document.text.as_json())
            })
            .collect();
        body.own("records", &format!("[{}]", records.join(",")));
        if request.top_n.is_some() {
            body.own("topN", &request.wanted().to_string());
        }
        // The documents of the result are the client's.
        body.own("ignoreRecordDetailsInResponse", "true");
        for (name, value) in &request.members {
            if name == "max_tokens_per_doc" {
                return Err(Unsendable::Member(name.clone().into_owned()));
            }
            body.client(name, value);
        }
        authorized(ask, Outgoing::new(&url(ask)?, body.finish())?)
    }

    fn read(&self, answer: &Answer) -> Result<Ranking, String> {
        let unlike = || "its answer is not a ranking".to_owned();
        let RankAnswer { records } = serde_json::from_str(answer.text()?).map_err(|_| unlike())?;
        let ranked = |record: &Record<'_>| {
            // A score of 0 is left out.
            Ranked::of(record.id.decode().parse().ok()?, record.score.map_or("0", RawValue::get))
        };
        let results = records.iter().map(ranked).collect::<Option<_>>().ok_or_else(unlike)?;
        Ok(Ranking { results, ..Ranking::default() })
    }
}

/// Of the locations of models it has none but `us` and `eu`; all others are served by the global one.
fn url(ask: &Ask<'_>) -> Result<String, Unsendable> {
    let KeyAccess::Vertex { project_id, region, .. } = ask.access else { return Err(Unsendable::Key) };
    let location = if matches!(region.as_str(), "us" | "eu") { region.as_str() } else { "global" };
    // A base that is configured is asked for this, too.
    let base = root(ask.base);
    let is_googles = base.contains("aiplatform.") && base.ends_with(".googleapis.com");
    let base = match location {
        _ if !is_googles => base.to_owned(),
        "global" => "https://discoveryengine.googleapis.com".to_owned(),
        location => format!("https://{location}-discoveryengine.googleapis.com"),
    };
    let project = path_segment(project_id)?;
    Ok(format!(
        "{base}/v1/projects/{project}/locations/{location}/rankingConfigs/default_ranking_config:rank"
    ))
}

#[derive(Deserialize)]
struct RankAnswer<'a> {
    #[serde(borrow, default)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Literal<'a>,
    #[serde(borrow, default)]
    score: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::test_ask;

    #[test]
    fn it_is_where_the_discovery_engine_is() {
        let at = |region: &str, base: Option<&str>| {
            let access = KeyAccess::Vertex {
                project_id: "p".to_owned(),
                region: region.to_owned(),
                auth_credentials: None,
            };
            let regional =
                access.regional_url().unwrap_or_else(|| "https://aiplatform.googleapis.com".to_owned());
            url(&Ask { base: base.unwrap_or(&regional), access: &access, ..test_ask("m") }).unwrap()
        };
        let path = |location| {
            format!("/v1/projects/p/locations/{location}/rankingConfigs/default_ranking_config:rank")
        };
        for (region, base, host, location) in [
            ("us-central1", None, "https://discoveryengine.googleapis.com", "global"),
            ("global", None, "https://discoveryengine.googleapis.com", "global"),
            ("eu", None, "https://eu-discoveryengine.googleapis.com", "eu"),
            ("us-central1", Some("http://proxy/"), "http://proxy", "global"),
        ] {
            assert_eq!(at(region, base), format!("{host}{}", path(location)), "{region}");
        }
        assert_eq!(url(&test_ask("m")), Err(Unsendable::Key), "an API key has no project");
    }
}
