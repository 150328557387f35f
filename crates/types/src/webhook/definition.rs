//! An endpoint as somebody wrote it, in a file or over HTTP, and what is wrong with it.

use std::collections::HashSet;

use secrecy::{ExposeSecret, SecretString};

use super::{Event, Limits, PrivateNetwork, TargetUrl};

/// Characters that a name may have.
const LONGEST_NAME: usize = 255;
/// Headers that an endpoint may have.
const MOST_HEADERS: usize = 100;
/// What is shown in place of a header's value.
pub(crate) const REDACTED: &str = "<REDACTED>";

/// Headers that only we set: those of the signature, and those of the protocol. Bifrost's list.
const RESERVED: [&str; 10] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-bifrost-event",
    "content-type",
    "content-length",
    "user-agent",
    "host",
    "connection",
    "transfer-encoding",
];

/// The numbers of an endpoint: name, largest value, and where it is kept.
type Number = (&'static str, u32, fn(&mut Limits) -> &mut u32);

/// Bifrost knows no largest values. Ours end what would occupy a worker for hours.
pub(crate) const NUMBERS: [Number; 6] = [
    ("max_retries", 20, |limits| &mut limits.max_retries),
    ("retry_backoff_initial_seconds", 86_400, |limits| &mut limits.retry_backoff_initial_seconds),
    ("retry_backoff_max_seconds", 86_400, |limits| &mut limits.retry_backoff_max_seconds),
    ("attempt_timeout_seconds", 3600, |limits| &mut limits.attempt_timeout_seconds),
    ("max_response_payload_kbs", 1 << 20, |limits| &mut limits.max_response_payload_kbs),
    ("max_concurrent_deliveries", 1_000_000, |limits| &mut limits.max_concurrent_deliveries),
];

/// An endpoint with members of the right types, and nothing else known of it.
#[derive(Default)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) headers: Vec<(String, SecretString)>,
    pub(crate) include_response: bool,
    pub(crate) allow_private_network: bool,
    pub(crate) disabled: bool,
    /// As in [`NUMBERS`].
    pub(crate) numbers: [i64; NUMBERS.len()],
    pub(crate) virtual_key_ids: Option<Vec<String>>,
}

/// A [`Definition`] with which nothing is wrong.
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) url: TargetUrl,
    pub(crate) events: Vec<Event>,
    pub(crate) headers: Vec<(String, SecretString)>,
    pub(crate) include_response: bool,
    pub(crate) private_network: PrivateNetwork,
    pub(crate) disabled: bool,
    pub(crate) limits: Limits,
    pub(crate) virtual_key_ids: Option<Vec<String>>,
}

/// A member that cannot be as it is.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Its name, and below `headers` that of the header: `headers.x-team`.
    pub(crate) member: String,
    /// The texts are Bifrost's, where it has one.
    pub(crate) message: String,
}

fn wrong(member: impl Into<String>, message: impl Into<String>) -> Wrong {
    Wrong { member: member.into(), message: message.into() }
}

impl Definition {
    /// # Errors
    /// All that is wrong with it, in the order in which Bifrost looks.
    pub(crate) fn check(self) -> Result<Checked, Vec<Wrong>> {
        let mut found = Vec::new();
        found.extend(check_name(&self.name).map(|message| wrong("name", message)));
        let private_network = PrivateNetwork::from(self.allow_private_network);
        let url = TargetUrl::parse(&self.url, private_network)
            .map_err(|error| found.push(wrong("url", error.to_string())))
            .ok();
        let events = self.check_events(&mut found);
        let limits = self.check_numbers(&mut found);
        self.check_headers(&mut found);
        match url {
            Some(url) if found.is_empty() => Ok(Checked {
                name: self.name,
                url,
                events,
                headers: self.headers,
                include_response: self.include_response,
                private_network,
                disabled: self.disabled,
                limits,
                virtual_key_ids: self.virtual_key_ids,
            }),
            Some(_) | None => Err(found),
        }
    }

    fn check_events(&self, found: &mut Vec<Wrong>) -> Vec<Event> {
        if self.events.is_empty() {
            found.push(wrong("events", "webhook endpoint must subscribe to at least one event"));
        }
        let mut events = Vec::new();
        for (index, word) in self.events.iter().enumerate() {
            let message = match word.parse::<Event>() {
                Ok(event) if events.contains(&event) => format!("duplicate webhook event {word:?}"),
                Ok(event) => {
                    events.push(event);
                    continue;
                }
                Err(_) => format!("unknown webhook event {word:?}"),
            };
            found.push(wrong(format!("events[{index}]"), message));
        }
        events
    }

    fn check_numbers(&self, found: &mut Vec<Wrong>) -> Limits {
        let mut limits = Limits::default();
        for ((name, most, of), value) in NUMBERS.into_iter().zip(self.numbers) {
            match u32::try_from(value) {
                Ok(value) if value <= most => *of(&mut limits) = value,
                _ if value < 0 => {
                    found.push(wrong(name, format!("webhook endpoint {name} must be positive when set")));
                }
                Ok(_) | Err(_) => {
                    found.push(wrong(name, format!("webhook endpoint {name} must be at most {most}")));
                }
            }
        }
        limits
    }

    fn check_headers(&self, found: &mut Vec<Wrong>) {
        if self.headers.len() > MOST_HEADERS {
            found.push(wrong("headers", format!("webhook endpoint headers must be at most {MOST_HEADERS}")));
            return;
        }
        let mut seen = HashSet::new();
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            let value = value.expose_secret();
            let message = if !is_token(name) {
                format!("invalid webhook header name {name:?}")
            } else if RESERVED.contains(&lower.as_str()) {
                format!("webhook header {name:?} is reserved and cannot be overridden")
            } else if !seen.insert(lower) {
                format!("duplicate webhook header {name:?}")
            } else if value == REDACTED {
                format!("webhook header {name:?} has no stored value to keep")
            } else if !is_field_value(value) {
                format!("webhook header {name:?} has a value that HTTP does not allow")
            } else {
                continue;
            };
            found.push(wrong(format!("headers.{name}"), message));
        }
    }
}

fn check_name(name: &str) -> Option<String> {
    let what = if name.is_empty() {
        "cannot be empty".to_owned()
    } else if name.chars().count() > LONGEST_NAME {
        format!("must be at most {LONGEST_NAME} characters")
    } else if name.trim() != name || name.contains(char::is_control) {
        // A submit names it in a header, where neither would arrive.
        "must not begin or end with white space, nor hold control characters".to_owned()
    } else {
        return None;
    };
    Some(format!("webhook endpoint name {what}"))
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_char)
}

/// RFC 9110, 5.5, without the control characters.
fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
