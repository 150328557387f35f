//! Rerank at Amazon Bedrock.
//!
//! - Its own API, for requests that are signed: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>
//! - The models themselves: <https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-use.html>. That API does not know Bedrock's API
//!   keys: <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-reference.html>

use hermod_types::config::KeyAccess;

use super::bedrock::{Bedrock, REGION, model_id, url};
use super::{Ask, Outgoing, Unsendable, cohere_rerank};
use crate::answer::Answer;
use crate::literal::Literal;
use crate::request_body::RequestBody;
use crate::rerank::{Ranking, Rerank, RerankRequest};

impl Rerank for Bedrock {
    fn request(&self, ask: &Ask<'_>, request: &RerankRequest<'_>) -> Result<Outgoing, Unsendable> {
        if ask.key.is_some() {
            return Outgoing::new(&url(ask, "invoke")?, invocation(ask.model, request));
        }
        let base = ask.base.trim_end_matches('/').replace("//bedrock-runtime.", "//bedrock-agent-runtime.");
        Outgoing::new(&format!("{base}/rerank"), body(&arn(ask), request))
    }

    fn read(&self, answer: &Answer) -> Result<Ranking, String> {
        cohere_rerank::read(answer)
    }
}

fn body(arn: &str, request: &RerankRequest<'_>) -> String {
    let text = |json: &str| format!("{{\"text\":{json}}}");
    let sources: Vec<String> = request
        .documents
        .iter()
        .map(|document| {
            let document = text(document.text.as_json());
            format!(
                "{{\"type\":\"INLINE\",\"inlineDocumentSource\":{{\"type\":\"TEXT\",\"textDocument\":{document}}}}}"
            )
        })
        .collect();
    let mut model = RequestBody::nested();
    model.own("modelArn", Literal::of(arn).as_json());
    let mut fields = RequestBody::nested();
    for (name, value) in &request.members {
        fields.client(name, value);
    }
    if !fields.is_empty() {
        model.own("additionalModelRequestFields", &fields.finish());
    }
    format!(
        "{{\"queries\":[{{\"type\":\"TEXT\",\"textQuery\":{}}}],\"sources\":[{}],\"rerankingConfiguration\":{{\"type\":\"BEDROCK_RERANKING_MODEL\",\"bedrockRerankingConfiguration\":{{\"numberOfResults\":{},\"modelConfiguration\":{}}}}}}}",
        text(request.query.as_json()),
        sources.join(","),
        request.wanted(),
        model.finish()
    )
}

/// What the model itself is asked.
fn invocation(model: &str, request: &RerankRequest<'_>) -> String {
    let mut body = RequestBody::new(&[]);
    cohere_rerank::write(&mut body, request);
    if model.contains("cohere.") {
        body.own("api_version", "2");
    }
    body.finish()
}

/// The model's ARN: what stands in its place already, or that of a foundation model in the key's region.
fn arn(ask: &Ask<'_>) -> String {
    let model = model_id(ask);
    if model.starts_with("arn:") {
        return model;
    }
    let region = match ask.access {
        KeyAccess::Bedrock { region: Some(region), .. } => region.as_str(),
        KeyAccess::Bedrock { region: None, .. }
        | KeyAccess::Plain
        | KeyAccess::Server { .. }
        | KeyAccess::Azure { .. }
        | KeyAccess::Vertex { .. } => REGION,
    };
    let partition = match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:bedrock:{region}::foundation-model/{model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_and_the_arn_are_of_the_keys_region() {
        let access = |region: &str| KeyAccess::Bedrock {
            access_key: None,
            secret_key: None,
            session_token: None,
            region: Some(region.to_owned()),
            arn: None,
        };
        let request = RerankRequest::parse(r#"{"query":"q","documents":["a"]}"#).unwrap();
        for (region, host, arn) in [
            (
                "eu-central-1",
                "bedrock-agent-runtime.eu-central-1.amazonaws.com",
                "arn:aws:bedrock:eu-central-1::foundation-model/amazon.rerank-v1:0",
            ),
            (
                "us-gov-west-1",
                "bedrock-agent-runtime.us-gov-west-1.amazonaws.com",
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.rerank-v1:0",
            ),
        ] {
            let access = access(region);
            let base = access.regional_url().unwrap();
            let model = "amazon.rerank-v1:0";
            let ask = Ask { base: &base, model, is_alias: false, key: None, access: &access, token: None };
            let outgoing = Rerank::request(&Bedrock, &ask, &request).unwrap();
            assert_eq!(outgoing.url.as_str(), format!("https://{host}/rerank"));
            assert_eq!(super::arn(&ask), arn);
        }
    }
}
