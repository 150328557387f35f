//! Who is told of a job's end: what a submit's headers say.

use actix_web::http::header::{HeaderMap, HeaderValue};
use hermod_types::governance::VirtualKey;
use hermod_types::webhook::{Hook, PrivateNetwork, Receiver, Style, TargetUrl};
use hermod_types::{Operation, Target};

use crate::error::ApiError;
use crate::observe;
use crate::state::State;
use crate::webhooks::disabled;

/// The name of an endpoint.
const ENDPOINT: &str = "x-bf-async-webhook";
/// The address of a receiver that is no endpoint.
const ADDRESS: &str = "x-hermod-webhook-url";

/// Who is to be told of the end of a job that is submitted with these headers; none where nobody is.
///
/// # Errors
/// If it is nobody whom a job of this key may have told.
pub(crate) async fn hook_of(
    headers: &HeaderMap,
    key: Option<&VirtualKey>,
    operation: Operation,
    targets: &[Target],
    state: &State,
) -> Result<Option<Hook>, ApiError> {
    let receiver = match (given(headers, ENDPOINT)?, given(headers, ADDRESS)?) {
        (None, None) => return Ok(None),
        (Some(name), None) => endpoint(name, key, state).await?,
        (None, Some(url)) => address(url, key, state)?,
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(format!("only one of {ENDPOINT} and {ADDRESS} may be given")));
        }
    };
    let request_id = observe::request_id(headers);
    Ok(Some(Hook {
        receiver,
        request_id: request_id.to_str().unwrap_or_default().to_owned(),
        operation,
        model: targets.first().map(ToString::to_string).unwrap_or_default(),
        style: Style::default(),
        trace: None,
    }))
}

/// A header's value without white space around it; none for an empty one. Names may have any characters, in UTF-8.
fn given<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let text = |value: &'a HeaderValue| std::str::from_utf8(value.as_bytes()).ok();
    let Some(value) = headers.get(name) else { return Ok(None) };
    let value = text(value).ok_or_else(|| ApiError::invalid(format!("header {name} must be UTF-8")))?;
    Ok(Some(value.trim()).filter(|value| !value.is_empty()))
}

async fn endpoint(name: &str, key: Option<&VirtualKey>, state: &State) -> Result<Receiver, ApiError> {
    let owner = key.map(|key| key.id.as_str());
    let known = state.endpoints.by_name(name).await?;
    // Of one that serves others, nobody learns that it exists.
    let known = known.filter(|known| known.endpoint.serves(owner));
    let known =
        known.ok_or_else(|| ApiError::invalid(format!("unknown webhook endpoint with name {name:?}")))?;
    if known.is_disabled() {
        return Err(disabled(name));
    }
    Ok(Receiver::Endpoint { endpoint: known.endpoint.id })
}

fn address(text: &str, key: Option<&VirtualKey>, state: &State) -> Result<Receiver, ApiError> {
    let parse = |network| {
        TargetUrl::parse(text, network)
            .map_err(|error| ApiError::invalid(format!("header {ADDRESS}: {error}")))
    };
    // Whether its scheme will do is told by the list.
    let url = parse(PrivateNetwork::Allowed)?;
    let network = state.config.allows_webhook_url(url.url());
    parse(network.ok_or(ApiError::WebhookUrlNotAllowed { header: ADDRESS })?)?;
    let owner = key.filter(|key| key.webhook_secret.is_some()).ok_or_else(|| {
        ApiError::invalid(format!(
            "header {ADDRESS} needs a virtual key with a webhook secret, which signs the delivery: hermod.keys.<id>.webhook_secret \
             in config.json"
        ))
    })?;
    Ok(Receiver::Url { url: url.as_str().to_owned(), owner: owner.id.clone() })
}
