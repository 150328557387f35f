//! How a provider of the file becomes a [`ProviderConfig`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::node::Node;
use super::read_key::read_key;
use super::section::{Report, Section};
use super::suggest::did_you_mean;
use super::{ProviderConfig, ProviderKind};
use crate::Operation;

/// Part of the address of Hugging Face's router, which has chat only; its other addresses are servers of
/// text-generation-inference.
const HUGGING_FACE_ROUTER: &str = "router.huggingface.co";

/// What a provider of the file is.
pub(super) enum Read {
    Provider(Box<ProviderConfig>),
    /// It exists, and we do not speak its API.
    Unsupported,
}

/// What is known of a provider's API before the rest is read.
enum Api {
    Known(ProviderKind),
    Unsupported,
    /// What is wrong with it has been noted.
    Wrong,
}

pub(super) fn read_provider(name: &str, mut file: Section<'_>, report: &Report<'_>) -> Read {
    let before = report.errors();
    let mut network = file.section("network_config");
    let mut custom = file.section("custom_provider_config");
    // As it is written: every process must find the same kind, whether it reads variables or not.
    let written_url = network.as_mut().and_then(|network| network.text("base_url"));
    let kind = match api_of(name, &file, custom.as_mut(), written_url.as_deref()) {
        Api::Known(kind) => kind,
        Api::Unsupported => return Read::Unsupported,
        // For whatever else may be wrong.
        Api::Wrong => ProviderKind::OpenAi,
    };
    let mut provider = ProviderConfig::new(kind);
    if let Some(network) = network {
        read_network(network, written_url, &mut provider);
    }
    if let Some(mut limits) = file.section("concurrency_and_buffer_size") {
        let limit = limits.whole("concurrency").filter(|limit| *limit > 0);
        provider.concurrency = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        limits.finish();
    }
    let mut needs_keys = true;
    if let Some(mut custom) = custom {
        needs_keys = !custom.boolean("is_key_less").unwrap_or_default();
        provider.allowed = custom.section("allowed_requests").map(read_allowed);
        if let Some(mut paths) = custom.section("request_path_overrides") {
            let path = |operation: Operation| Some((operation, paths.text(operation.request_type())?));
            provider.paths =
                Operation::all().filter(|operation| operation.is_public()).filter_map(path).collect();
            paths.finish();
        }
        custom.finish();
    }
    let keys = file.sections("keys");
    if needs_keys {
        provider.keys =
            keys.into_iter().enumerate().map(|(index, key)| read_key(index, key, kind, report)).collect();
    }
    if report.errors() == before {
        check_keys(&provider, needs_keys, &file);
    }
    file.finish();
    Read::Provider(Box::new(provider))
}

/// What API the provider speaks: that of its name, of its `base_provider_type`, or OpenAI's where it has an address.
fn api_of(name: &str, file: &Section<'_>, custom: Option<&mut Section<'_>>, url: Option<&str>) -> Api {
    let known = || ProviderKind::all().map(ProviderKind::name);
    let list = || known().collect::<Vec<_>>().join(", ");
    let named = custom.map(|custom| (custom.text("base_provider_type").unwrap_or_default(), custom));
    let kind = match &named {
        Some((base, custom)) => match ProviderKind::from_name(base) {
            None if ProviderKind::is_elsewhere(base) => return Api::Unsupported,
            None => {
                let hint = did_you_mean(base, known());
                custom.wrong("base_provider_type", format!("expected one of {}{hint}", list()));
                return Api::Wrong;
            }
            // Whoever names it otherwise has a server of their own that speaks as it does.
            Some(ProviderKind::OpenAi) if name != ProviderKind::OpenAi.name() => ProviderKind::Compatible,
            Some(kind) => kind,
        },
        None => match ProviderKind::from_name(name) {
            None if ProviderKind::is_elsewhere(name) => return Api::Unsupported,
            None if url.is_some() => ProviderKind::Compatible,
            None => {
                let hint = did_you_mean(name, known());
                let message = format!("expected an address, as the name is none of {}{hint}", list());
                file.wrong("network_config.base_url", message);
                return Api::Wrong;
            }
            Some(kind) => kind,
        },
    };
    Api::Known(match url {
        Some(url) if kind == ProviderKind::HuggingFace && !url.contains(HUGGING_FACE_ROUTER) => {
            ProviderKind::Tgi
        }
        Some(_) | None => kind,
    })
}

/// What is not `true` is not allowed: <https://docs.getbifrost.ai/providers/custom-providers>.
fn read_allowed(mut file: Section<'_>) -> BTreeSet<Operation> {
    let is_allowed = |operation: &Operation| file.boolean(operation.request_type()).unwrap_or_default();
    let public = Operation::all().filter(|operation| operation.is_public());
    let allowed = public.filter(is_allowed).collect();
    file.finish();
    allowed
}

fn read_network(mut file: Section<'_>, written_url: Option<String>, provider: &mut ProviderConfig) {
    if let Some(url) = written_url.and_then(|url| file.resolve("base_url", url)) {
        check_address(&file, "base_url", &url);
        provider.base_url = Some(url);
    }
    let backoff = |file: &mut Section<'_>, name| {
        file.read(name, "milliseconds, or a duration such as \"500ms\" or \"5s\"", duration)
    };
    provider.backoff_initial =
        backoff(&mut file, "retry_backoff_initial").unwrap_or(provider.backoff_initial);
    provider.backoff_max =
        backoff(&mut file, "retry_backoff_max").unwrap_or(provider.backoff_max).max(provider.backoff_initial);
    if let Some(retries) = file.whole("max_retries") {
        provider.max_retries = u32::try_from(retries).unwrap_or(u32::MAX);
    }
    if let Some(seconds) = file.whole("default_request_timeout_in_seconds").filter(|seconds| *seconds > 0) {
        provider.request_timeout = Duration::from_secs(seconds);
    }
    for (header, value) in file.texts_by_name("extra_headers") {
        let value = file.resolve(&format!("extra_headers.{header}"), value).unwrap_or_default();
        provider.extra_headers.push((header, value.into()));
    }
    provider.insecure_skip_verify = file.boolean("insecure_skip_verify").unwrap_or_default();
    provider.ca_cert_pem = file.value("ca_cert_pem");
    file.finish();
}

/// Notes an address that is none. One that stands in a variable that was not read may be anything.
pub(super) fn check_address(file: &Section<'_>, member: &str, url: &str) {
    let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    if !url.starts_with("env.") && host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        file.wrong(member, "expected http:// or https:// and a host");
    }
}

fn check_keys(provider: &ProviderConfig, needs_keys: bool, file: &Section<'_>) {
    let kind = provider.kind;
    let is_one_place = kind.key_variable().is_some() || kind.base_url().is_some();
    let is_hosted = is_one_place && provider.base_url.is_none();
    if provider.keys.is_empty() && needs_keys && is_hosted {
        file.wrong("keys", format!("expected a key, without which {kind} serves nobody"));
    }
    if !provider.keys.is_empty() && provider.keys.iter().all(|key| key.weight == 0.0) {
        file.wrong("keys", "expected a key that is enabled and has a weight above 0: no other is used");
    }
    let has_address = provider.base_url.is_some() || kind.base_url().is_some();
    let keys_have =
        !provider.keys.is_empty() && provider.keys.iter().all(|key| key.access.base_url().is_some());
    if !has_address && !keys_have {
        let message = format!("expected an address, as {kind} has none of its own");
        file.wrong("network_config.base_url", message);
    }
}

/// Milliseconds, or a duration in Go's words as newer files have it: `"500ms"`, `"5s"`, `"1m"`.
fn duration(node: Node) -> Option<Duration> {
    match node {
        Node::Number(millis) => millis.as_u64().map(Duration::from_millis),
        Node::Text(words) => {
            let unit = words.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, unit) = words.split_at(unit);
            let seconds = match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            let number: f64 = number.parse().ok()?;
            Duration::try_from_secs_f64(number * seconds).ok()
        }
        Node::Null | Node::Boolean(_) | Node::Array(_) | Node::Object(_) => None,
    }
}
