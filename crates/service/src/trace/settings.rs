use std::time::Duration;

use anyhow::{Context as _, bail};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::Sampler;
use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;

use super::attribute;
use crate::settings::variable;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// How long one request may take, unless the environment says so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go, and which.
pub(super) struct Destination {
    pub(super) exporter: SpanExporter,
    /// What is told of the address: it may hold a secret.
    pub(super) shown: String,
    pub(super) sampler: Sampler,
    pub(super) resource: Resource,
}

/// Reads the environment; none where no span is to be sent.
///
/// # Errors
/// For a variable that is not understood. No error repeats an address or a header.
pub(super) fn read(service: &'static str, instance: &str) -> anyhow::Result<Option<Destination>> {
    let Some((name, endpoint)) = endpoint(&set)? else { return Ok(None) };
    let url = Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.with_context(|| format!("{name}: expected http:// or https:// and a host"))?;
    let shown = url.host_str().unwrap_or_default().to_owned();
    let shown = url.port().map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"));
    let sampler = sampler(&set)?;
    // A header must not travel to another host.
    let client = Client::builder()
        .redirect(Policy::none())
        .timeout(timeout(&set)?)
        .user_agent(concat!("Hermod/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("the HTTP client for traces")?;
    // What it says itself repeats values.
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let exporter = exporter
        .map_err(|_| anyhow::anyhow!("{name}, or another variable OTEL_EXPORTER_OTLP_…, cannot be used"))?;
    Ok(Some(Destination { exporter, shown, sampler, resource: resource(service, instance) }))
}

/// The value of a variable; none for an empty one.
fn set(name: &str) -> Option<String> {
    variable(name).filter(|value| !value.trim().is_empty())
}

/// The address, and the variable that has it; none where nothing is to be sent.
fn endpoint(set: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<(&'static str, String)>> {
    let is_disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let found = [TRACES_ENDPOINT, ENDPOINT].into_iter().find_map(|name| Some((name, set(name)?)));
    let Some(found) = found.filter(|_| !is_disabled) else { return Ok(None) };
    match set("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(_) => bail!("OTEL_TRACES_EXPORTER: expected otlp or none"),
    }
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match set(name).as_deref() {
            None => {}
            Some("http/protobuf") => break,
            Some(_) => bail!("{name}: expected http/protobuf"),
        }
    }
    Ok(Some(found))
}

fn timeout(set: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Duration> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let Some((name, value)) = names.into_iter().find_map(|name| Some((name, set(name)?))) else {
        return Ok(TIMEOUT);
    };
    let millis: Option<u64> = value.trim().parse().ok().filter(|millis| *millis > 0);
    millis.map(Duration::from_millis).with_context(|| format!("{name}: expected milliseconds"))
}

fn sampler(set: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Sampler> {
    let by_parent = |root| Sampler::ParentBased(Box::new(root));
    let ratio = || {
        let Some(value) = set(SAMPLER_ARG) else { return Ok(Sampler::TraceIdRatioBased(1.0)) };
        let ratio = value.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio = ratio.with_context(|| format!("{SAMPLER_ARG}: expected a number from 0 to 1"))?;
        anyhow::Ok(Sampler::TraceIdRatioBased(ratio))
    };
    Ok(match set(SAMPLER).as_deref().map(str::trim) {
        None | Some("parentbased_always_on") => by_parent(Sampler::AlwaysOn),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("parentbased_always_off") => by_parent(Sampler::AlwaysOff),
        Some("traceidratio") => ratio()?,
        Some("parentbased_traceidratio") => by_parent(ratio()?),
        Some(_) => bail!(
            "{SAMPLER}: expected always_on, always_off, traceidratio, or one of them with parentbased_ before it"
        ),
    })
}

/// Who sends; what the environment says of it counts more.
fn resource(service: &'static str, instance: &str) -> Resource {
    let mut builder = Resource::builder_empty()
        .with_attributes([
            attribute("service.name", service),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", instance.to_owned()),
        ])
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    if let Some(name) = set(SERVICE_NAME) {
        builder = builder.with_service_name(name);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    const SET: (&str, &str) = (ENDPOINT, "http://a:4318");
    const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");

    #[test]
    fn nothing_is_sent_unless_an_address_is_set() {
        let is_on = |variables| endpoint(&of(variables)).unwrap().is_some();
        assert!(!is_on(&[]) && is_on(&[SET]) && is_on(&[(TRACES_ENDPOINT, "http://a/t")]));
        assert!(
            !is_on(&[SET, ("OTEL_SDK_DISABLED", "TRUE")]) && is_on(&[SET, ("OTEL_SDK_DISABLED", "false")])
        );
        assert!(
            !is_on(&[SET, ("OTEL_TRACES_EXPORTER", "none")])
                && is_on(&[SET, ("OTEL_TRACES_EXPORTER", "otlp")])
        );
    }

    #[test]
    fn what_is_not_understood_is_told_by_its_name() {
        let told = |variables| endpoint(&of(variables)).unwrap_err().to_string();
        assert_eq!(
            told(&[SET, ("OTEL_TRACES_EXPORTER", "zipkin")]),
            "OTEL_TRACES_EXPORTER: expected otlp or none"
        );
        let protocol = "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf";
        assert_eq!(told(&[SET, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), protocol);
        assert!(endpoint(&of(&[SET, OWN, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")])).is_ok());
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            let set = |name: &str| match name {
                SAMPLER => Some("traceidratio".to_owned()),
                _ => Some(wrong.to_owned()),
            };
            let told = sampler(&set).unwrap_err().to_string();
            assert_eq!(told, "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1");
        }
        assert!(
            sampler(&of(&[(SAMPLER, "xray")])).unwrap_err().to_string().starts_with("OTEL_TRACES_SAMPLER: ")
        );
        let wrong = of(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]);
        assert_eq!(
            timeout(&wrong).unwrap_err().to_string(),
            "OTEL_EXPORTER_OTLP_TIMEOUT: expected milliseconds"
        );
    }

    #[test]
    fn samplers_are_the_standard_ones() {
        let shown = |variables| format!("{:?}", sampler(&of(variables)).unwrap());
        assert_eq!(shown(&[]), "ParentBased(AlwaysOn)");
        assert_eq!(shown(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "0.25")]), "TraceIdRatioBased(0.25)");
        assert_eq!(shown(&[(SAMPLER, "parentbased_traceidratio")]), "ParentBased(TraceIdRatioBased(1.0))");
    }
}
