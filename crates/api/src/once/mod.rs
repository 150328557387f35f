//! Submits that may be repeated: by a client's idempotency key, or by an official SDK, which counts its tries.

mod json;
mod print;
mod under_way;

use actix_web::http::header::HeaderMap;
use hermod_queue::{IdempotencyKey, JobRequest, Place, Repeats, Tries};

use crate::error::ApiError;

pub(crate) use print::{Contents, Print};
pub(crate) use under_way::{UnderWay, UnderWays};

const KEY: &str = "idempotency-key";
/// How many tries came before, in requests of the official SDKs.
const RETRIES: &str = "x-stainless-retry-count";
const NO_DEDUP: &str = "x-hermod-no-dedup";
const LONGEST_KEY: usize = 255;
/// Headers that shape a job, and are therefore part of its print. The time to live is, too, once it is read.
const SHAPING: [&str; 4] =
    ["x-bf-async-webhook", "x-hermod-webhook-url", "x-hermod-run-at", "x-hermod-delay"];

/// What two submits must have in common, besides the call and the headers, for one to repeat the other.
#[derive(Default)]
pub(crate) struct Shape<'e> {
    /// Its model and fallbacks, as its client has written them.
    pub(crate) targets: &'e [String],
    /// How long its client wants the result to be kept, in seconds.
    pub(crate) ttl: Option<u64>,
    /// What a Response repeats of its request: it is another endpoint's.
    pub(crate) echo: Option<&'e str>,
    /// Of a form: what is in its files, and where it goes.
    pub(crate) form: Option<(Contents, Place)>,
}

/// What the headers of a submit say of earlier ones.
#[derive(Clone)]
pub(crate) struct Once<'a> {
    headers: &'a HeaderMap,
    /// Whose it is, and to where it is sent: those of others are no repetitions.
    scope: Print,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Nothing is to be remembered.
    Nothing,
    /// It has this idempotency key. Its tries are then told by that.
    Key(String),
    /// So many tries came before.
    Tries(u64),
}

impl<'a> Once<'a> {
    /// `owner`: id of the virtual key; `endpoint`: its path.
    ///
    /// # Errors
    /// For a key that is none.
    pub(crate) fn of(headers: &'a HeaderMap, owner: Option<&str>, endpoint: &str) -> Result<Self, ApiError> {
        let kind = if let Some(key) = key(headers)? {
            Kind::Key(key)
        } else {
            match tries(headers) {
                Some(count) => Kind::Tries(count),
                None => Kind::Nothing,
            }
        };
        let mut scope = Print::default();
        if !matches!(kind, Kind::Nothing) {
            scope.option(owner);
            scope.text(endpoint);
        }
        Ok(Self { headers, scope, kind })
    }

    /// Whether something is to be remembered of it, so that its contents must be hashed.
    pub(crate) const fn is_remembered(&self) -> bool {
        !matches!(self.kind, Kind::Nothing)
    }

    /// Where it meets its repetitions, as far as that is known before a form is read. `length`: its announced bytes.
    pub(crate) fn place_of_form(&self, length: Option<u64>) -> Option<Place> {
        let mut place = self.scope.clone();
        match &self.kind {
            Kind::Nothing => return None,
            Kind::Key(key) => return Some(self.place_of_key(key)),
            Kind::Tries(_) => place.number(length.unwrap_or_default()),
        }
        Some(self.place(place))
    }

    /// The name of its key; none without one.
    pub(crate) fn key_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Key(key) => Some(self.named(key).name()),
            Kind::Nothing | Kind::Tries(_) => None,
        }
    }

    /// What it is known by.
    pub(crate) fn repeats(mut self, job: &JobRequest, shape: Shape<'_>) -> Repeats {
        if matches!(self.kind, Kind::Nothing) {
            return Repeats::default();
        }
        let known = shape.form.as_ref().map(|(_, place)| *place);
        if shape.echo.is_some() {
            self.scope.text("response");
        }
        let print = self.print(job, shape);
        match &self.kind {
            Kind::Nothing => Repeats::default(),
            Kind::Key(key) => Repeats {
                place: known.or_else(|| Some(self.place_of_key(key))),
                key: Some(IdempotencyKey { name: self.named(key).name(), print: print.name() }),
                tries: None,
            },
            Kind::Tries(count) => {
                let mut name = self.scope.clone();
                name.hash(print);
                Repeats {
                    place: known.or_else(|| Some(self.place(name.clone()))),
                    key: None,
                    tries: Some(Tries { name: name.name(), count: *count }),
                }
            }
        }
    }

    fn named(&self, key: &str) -> Print {
        let mut name = self.scope.clone();
        name.text(key);
        name
    }

    fn place_of_key(&self, key: &str) -> Place {
        self.place(self.named(key))
    }

    fn place(&self, hash: Print) -> Place {
        let may_repeat = match self.kind {
            Kind::Nothing => false,
            Kind::Key(_) => true,
            Kind::Tries(count) => count > 0,
        };
        Place::of(hash.finish().as_ref(), may_repeat)
    }

    /// What two submits of the same job have in common.
    fn print(&self, job: &JobRequest, shape: Shape<'_>) -> Print {
        let mut print = Print::default();
        for target in shape.targets {
            print.text(target);
        }
        match shape.form {
            None => print.json(&job.body),
            Some((contents, _)) => {
                print.text(&job.body);
                print.hash(contents.0);
            }
        }
        print.option(shape.echo);
        print.number(shape.ttl.unwrap_or_default());
        for name in SHAPING {
            print.option(self.headers.get(name).map(|value| value.as_bytes().trim_ascii()));
        }
        print
    }
}

/// A client's idempotency key: a string of Structured Fields (RFC 8941), or the same without quotes.
fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(KEY);
    let Some(value) = values.next() else { return Ok(None) };
    let key = values.next().is_none().then(|| read_key(value.as_bytes().trim_ascii())).flatten();
    let invalid = || {
        ApiError::invalid(format!(
            "header Idempotency-Key must have 1 to {LONGEST_KEY} visible ASCII characters, with or without quotes around them"
        ))
    };
    key.map(Some).ok_or_else(invalid)
}

fn read_key(value: &[u8]) -> Option<String> {
    let mut key = String::new();
    match value.strip_prefix(b"\"") {
        None => key.extend(value.iter().map(|byte| char::from(*byte))),
        Some(quoted) => {
            let mut bytes = quoted.strip_suffix(b"\"")?.iter();
            while let Some(byte) = bytes.next() {
                key.push(char::from(match byte {
                    b'"' => return None,
                    b'\\' => *bytes.next().filter(|escaped| matches!(escaped, b'"' | b'\\'))?,
                    byte => *byte,
                }));
            }
        }
    }
    let is_one = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then_some(key)
}

/// How many tries came before, unless the client does not want to be recognised by them.
fn tries(headers: &HeaderMap) -> Option<u64> {
    if headers.get(NO_DEDUP).is_some_and(|value| value == "1") {
        return None;
    }
    headers.get(RETRIES)?.to_str().ok()?.trim().parse().ok()
}
