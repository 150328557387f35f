//! Amazon Bedrock, over its Converse API, which is one for all its models.
//!
//! - Requests, answers and errors: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//! - Signatures: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>
//! - API keys: <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html>
//!
//! A key with a value is an API key; one without signs each request with its credentials. The model is in the path, with
//! its colons escaped. The region is part of a signature, so it must be that of the address.

mod converse;
mod document_name;
mod reply;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use hermod_types::ErrorDetail;
use hermod_types::config::KeyAccess;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, bearer_token, path_segment, secret_header};
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::embeddings::Embeddings;
use crate::error_form::ErrorForm;
use crate::images::Images;
use crate::payload::Payload;
use crate::rerank::Rerank;

/// Bifrost's, where a key has none.
pub(super) const REGION: &str = "us-east-1";
const SERVICE: &str = "bedrock";

#[derive(Debug)]
pub(super) struct Bedrock;

impl ErrorForm for Bedrock {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        let body: Refusal = serde_json::from_str(answer).ok()?;
        let kind = body.kind.as_deref().map(bare_type).map(str::to_owned);
        Some(ErrorDetail { message: body.message.or(body.error)?, kind, ..ErrorDetail::default() })
    }

    fn error_type<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers.get("x-amzn-errortype")?.to_str().ok().map(bare_type)
    }

    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        let says = |words: &str| error.message.contains(words);
        match (status, error.kind.as_deref()) {
            // The model is being loaded: no matter of the key's pace.
            (429, Some("ModelNotReadyException")) => 503,
            (400, Some("ServiceQuotaExceededException")) => 429,
            (
                400,
                Some(
                    "ExpiredTokenException" | "IncompleteSignatureException" | "UnrecognizedClientException",
                ),
            ) => 401,
            // There is no such model, or none that can be had in this way.
            (400, Some("ValidationException"))
                if says("model identifier is invalid")
                    || says("on-demand throughput")
                    || says("doesn't support") =>
            {
                404
            }
            _ => status,
        }
    }
}

impl Dialect for Bedrock {
    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn rerank(&self) -> Option<&dyn Rerank> {
        Some(self)
    }

    fn images(&self) -> Option<&dyn Images> {
        Some(self)
    }

    fn signs_body(&self, ask: &Ask<'_>) -> bool {
        ask.key.is_none()
    }

    fn sign(&self, ask: &Ask<'_>, outgoing: &mut Outgoing) -> Result<(), Unsendable> {
        if ask.key.is_some() {
            bearer_token(ask, &mut outgoing.headers)
        } else {
            sign_request(ask.access, SystemTime::now(), outgoing)
        }
    }
}

impl Chat for Bedrock {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        Outgoing::new(&url(ask, "converse")?, converse::body(ask.model, chat)?)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        reply::read(answer)
    }
}

/// Where a model is asked to `converse`, or is invoked.
pub(super) fn url(ask: &Ask<'_>, action: &str) -> Result<String, Unsendable> {
    Ok(format!("{}/model/{}/{action}", ask.base.trim_end_matches('/'), path_segment(&model_id(ask))?))
}

/// The model's name, or the ARN that stands in its place.
pub(super) fn model_id(ask: &Ask<'_>) -> String {
    match ask.access {
        // As in Bifrost: the alias is an inference profile's id.
        KeyAccess::Bedrock { arn: Some(arn), .. } if ask.is_alias => format!("{arn}/{}", ask.model),
        KeyAccess::Bedrock { .. }
        | KeyAccess::Plain
        | KeyAccess::Server { .. }
        | KeyAccess::Azure { .. }
        | KeyAccess::Vertex { .. } => ask.model.to_owned(),
    }
}

/// Adds the headers of a signature made at `now`. It is of the URL as it will be sent.
fn sign_request(access: &KeyAccess, now: SystemTime, outgoing: &mut Outgoing) -> Result<(), Unsendable> {
    let Outgoing { url, headers, body } = outgoing;
    // What is streamed cannot be signed before it is read.
    let Payload::Text(body) = body else { return Err(Unsendable::Unreadable) };
    let KeyAccess::Bedrock {
        access_key: Some(access_key),
        secret_key: Some(secret_key),
        session_token,
        region,
        ..
    } = access
    else {
        return Err(Unsendable::Key);
    };
    let session = session_token.as_ref().map(|token| token.expose_secret().to_owned());
    let credentials = Credentials::new(
        access_key.expose_secret(),
        secret_key.expose_secret(),
        session,
        None,
        "config.json",
    );
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region.as_deref().unwrap_or(REGION))
        .name(SERVICE)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| Unsendable::Key)?
        .into();
    let content_type = std::iter::once(("content-type", "application/json"));
    let request =
        SignableRequest::new("POST", url.as_str(), content_type, SignableBody::Bytes(body.as_bytes()))
            .map_err(|_| Unsendable::Key)?;
    let (instructions, _) = sign(request, &params).map_err(|_| Unsendable::Key)?.into_parts();
    for (name, value) in instructions.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsendable::Key)?;
        secret_header(headers, name, value)?;
    }
    Ok(())
}

/// `ThrottlingException:http://internal.amazon.com/…` and `com.amazon.coral.service#ThrottlingException`, as its name.
fn bare_type(text: &str) -> &str {
    let text = text.split(':').next().unwrap_or(text);
    text.rsplit('#').next().unwrap_or(text)
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "Message")]
    message: Option<String>,
    /// What an image model says with 200.
    #[serde(default)]
    error: Option<String>,
    #[serde(default, rename = "__type")]
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn access(session_token: Option<&str>, arn: Option<&str>) -> KeyAccess {
        KeyAccess::Bedrock {
            access_key: Some("AKIDEXAMPLE".into()),
            secret_key: Some("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
            session_token: session_token.map(Into::into),
            region: Some("us-west-2".to_owned()),
            arn: arn.map(str::to_owned),
        }
    }

    fn url_of(model: &str, is_alias: bool, access: &KeyAccess) -> String {
        let base = access.regional_url().unwrap();
        url(&Ask { base: &base, model, is_alias, key: None, access, token: None }, "converse").unwrap()
    }

    #[test]
    fn an_inference_profile_of_an_alias_has_its_arn() {
        let root = "https://bedrock-runtime.us-west-2.amazonaws.com/model";
        let arn = "arn:aws:bedrock:us-west-2:123456789012:inference-profile";
        let with_arn = access(None, Some(arn));
        assert_eq!(
            url_of("amazon.nova-lite-v1:0", false, &with_arn),
            format!("{root}/amazon.nova-lite-v1%3A0/converse")
        );
        assert_eq!(
            url_of("us.amazon.nova-lite-v1:0", true, &with_arn),
            format!(
                "{root}/arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse"
            )
        );
    }

    /// The signatures are botocore's for the same requests.
    #[test]
    fn a_request_is_signed_as_aws_does_it() {
        // 2026-02-19T08:10:17Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_771_488_617);
        for (session, signed, signature) in [
            (
                None,
                "content-type;host;x-amz-date",
                "d255a38b2aa77fcaa4b8d7357f3f1340b5f80e56c209eb2fd1a82b2018ecfe93",
            ),
            (
                Some("session"),
                "content-type;host;x-amz-date;x-amz-security-token",
                "2d83b2bbe8ea0fd05d71f27ab3cb4de6387406a8a54f147dde2f8bbd09128169",
            ),
        ] {
            let access = access(session, None);
            let url = url_of("us.anthropic.claude-3-5-haiku-20241022-v1:0", false, &access);
            let body = r#"{"messages":[]}"#.to_owned();
            let mut outgoing = Outgoing::new(&url, body).unwrap();
            assert_eq!(outgoing.url.as_str(), url, "what is signed is what is sent");
            sign_request(&access, now, &mut outgoing).unwrap();
            let headers = outgoing.headers;
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260219/us-west-2/bedrock/aws4_request, SignedHeaders={signed}, Signature={signature}"
            );
            assert_eq!(headers["authorization"], expected);
            assert_eq!(headers["x-amz-date"], "20260219T081017Z");
            assert_eq!(headers.get("x-amz-security-token").map(|token| token.to_str().unwrap()), session);
            assert!(headers.iter().all(|(name, value)| name == "content-type" || value.is_sensitive()));
        }
        let mut outgoing = Outgoing::new("https://a/b", String::new()).unwrap();
        assert!(sign_request(&KeyAccess::Plain, now, &mut outgoing).is_err());
    }
}
