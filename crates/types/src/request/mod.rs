mod form;
mod invalid;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

pub use invalid::InvalidRequest;

use crate::operation::{JsonRules, Rules};
use crate::raw::{is_deeper_than, reads_as};
use crate::shape::{self, MAX_MEMBERS, Member, Shape, check_members};
use crate::{InvalidTarget, Operation, RawObject, ResponseEcho, Target};

/// How many fallbacks one request may name. Bifrost sets no limit; no client is known to send more than a handful, and
/// each is kept in the job's record.
pub const MAX_FALLBACKS: usize = 128;
/// How deep arrays and objects may be within each other, the request's own object included.
const MAX_NESTING: usize = 128;

/// What the client says to Hermod and no provider may read, in any spelling of upper and lower case: `model` and
/// `stream` are written by Hermod, and a provider that finds another `model`, or `models` (`OpenRouter`'s list of
/// alternatives), would serve one that the virtual key does not allow.
const NOT_FOR_PROVIDERS: [&str; 4] = ["model", "models", "fallbacks", "stream"];

/// What every request may have. Fallbacks are checked last.
const COMMON: [Member; 3] = [("model", Shape::String), ("stream", Shape::Boolean), ("fallbacks", Shape::Any)];

/// A validated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    /// `model`, then the fallbacks in order: the targets to try. Never empty.
    pub targets: Vec<Target>,
    /// A JSON object with the other members as the client wrote them: what the provider gets, less the
    /// model's name. Of a form, its JSON: see [`Form`](crate::Form).
    pub body: String,
    /// Bytes of media that go with a form.
    pub media_bytes: u64,
}

impl Request {
    /// Reads the JSON body of a submit. `naming`: what models without a provider are.
    ///
    /// # Errors
    /// What the contract's error table says, in its order: not JSON or a wrong type, then `model`, then what is required, then
    /// `stream`, then `fallbacks`.
    pub fn parse(operation: Operation, body: &[u8], naming: Naming<'_>) -> Result<Self, InvalidRequest> {
        Self::read(operation, body, naming).map(|(request, _)| request)
    }

    /// The same of a Response that its client may retrieve at once: also what is repeated of its request.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse_response(body: &[u8], naming: Naming<'_>) -> Result<(Self, ResponseEcho), InvalidRequest> {
        let (request, object) = Self::read(Operation::Responses, body, naming)?;
        Ok((request, ResponseEcho::of(&object)))
    }

    fn read<'b>(
        operation: Operation,
        body: &'b [u8],
        naming: Naming<'_>,
    ) -> Result<(Self, RawObject<'b>), InvalidRequest> {
        let Rules::Json(rules) = operation.rules() else {
            return Err(InvalidRequest::other_form("this endpoint takes multipart/form-data"));
        };
        let text = std::str::from_utf8(body).map_err(|error| {
            InvalidRequest::format(None, format_args!("not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let object = object(text)?;
        check_members(&object, &[rules.known, &COMMON])?;

        let model = shape::string_of(object.get("model")).unwrap_or_default();
        let mut targets = naming.primary(&model)?;
        (rules.required)(&object)?;
        if let Some(member) = (rules.streamed)(&object) {
            return Err(not_streamed(operation, member));
        }
        if let Some(value) = object.get("fallbacks").filter(|value| value.get() != "null") {
            targets.truncate(1);
            naming.fallbacks(value, &mut targets)?;
        }
        let body = body_of(&object, rules, text.len());
        Ok((Self { operation, targets, body, media_bytes: 0 }, object))
    }
}

fn object(text: &str) -> Result<RawObject<'_>, InvalidRequest> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(InvalidRequest::format(None, "the body must be a JSON object"));
    }
    let object =
        RawObject::bounded(text, MAX_MEMBERS).map_err(|error| InvalidRequest::format(None, error))?;
    // One less: the members are within the request's object.
    if let Some((name, _)) = object.members().find(|(_, value)| is_deeper_than(value.get(), MAX_NESTING - 1))
    {
        let what = format_args!("`{name}` is nested more than {MAX_NESTING} deep");
        return Err(InvalidRequest::format(Some(name), what));
    }
    Ok(object)
}

/// What the provider gets.
fn body_of(object: &RawObject<'_>, rules: &JsonRules, length: usize) -> String {
    let is_ours = |name: &str| NOT_FOR_PROVIDERS.iter().chain(rules.ours).any(|ours| reads_as(name, ours));
    let mut body = String::with_capacity(length);
    body.push('{');
    object.write_members(&mut body, |name| !is_ours(name));
    body.push('}');
    body
}

fn not_streamed(operation: Operation, member: &str) -> InvalidRequest {
    let message = if operation.is_public() {
        format!("stream is not supported for async {}", operation.plural())
    } else {
        "streaming is not supported for async requests".to_owned()
    };
    InvalidRequest::rule(member, message)
}

/// Finds targets for a model's name.
pub type Choose<'c> = dyn Fn(&str) -> Vec<Target> + 'c;

/// How the names of models become targets.
#[derive(Clone, Copy, Default)]
pub struct Naming<'p> {
    /// Whose models have no provider in their names.
    pub default_provider: Option<&'p str>,
    /// Targets for a model that names none: where it goes, and its fallbacks should the client name none. Nothing for a model that
    /// is to be read as it is.
    pub choose: Option<&'p Choose<'p>>,
}

impl Naming<'_> {
    fn target(&self, name: &str) -> Result<Target, InvalidTarget> {
        match self.default_provider {
            Some(provider) if !name.contains('/') => format!("{provider}/{name}").parse(),
            _ => name.parse(),
        }
    }

    /// Where the request goes. More than one where that was chosen.
    fn primary(&self, name: &str) -> Result<Vec<Target>, InvalidRequest> {
        let named = self.target(name);
        let has_default = self.default_provider.is_some() && !name.contains('/');
        let chosen = self.choose.filter(|_| !has_default).map(|choose| choose(name)).unwrap_or_default();
        match named {
            _ if !chosen.is_empty() => Ok(chosen),
            Ok(target) => Ok(vec![target]),
            Err(error) => Err(InvalidRequest::rule("model", error.to_string())),
        }
    }

    /// Adds those of a JSON array.
    fn fallbacks(&self, value: &RawValue, targets: &mut Vec<Target>) -> Result<(), InvalidRequest> {
        let mut fallbacks = Fallbacks { names: self, count: 0, targets, wrong: None };
        if !value.get().starts_with('[') || !shape::each_string(value.get(), |name| fallbacks.add(name)) {
            let what = "`fallbacks` must be an array of strings";
            return Err(InvalidRequest::format(Some("fallbacks"), what));
        }
        fallbacks.finish()
    }
}

/// Fallbacks while they are read: none is kept beyond their limit.
struct Fallbacks<'a> {
    names: &'a Naming<'a>,
    count: usize,
    targets: &'a mut Vec<Target>,
    wrong: Option<(usize, InvalidTarget)>,
}

impl Fallbacks<'_> {
    fn add(&mut self, name: &str) {
        if self.count < MAX_FALLBACKS && self.wrong.is_none() {
            match self.names.target(name) {
                Ok(target) => self.targets.push(target),
                Err(error) => self.wrong = Some((self.count, error)),
            }
        }
        self.count += 1;
    }

    fn finish(self) -> Result<(), InvalidRequest> {
        let invalid = |what: String| Err(InvalidRequest::format(Some("fallbacks"), what));
        if self.count > MAX_FALLBACKS {
            return invalid(format!("`fallbacks` has {} entries, the limit is {MAX_FALLBACKS}", self.count));
        }
        match self.wrong {
            None => Ok(()),
            Some((index, InvalidTarget::Format)) => {
                invalid(format!("`fallbacks[{index}]` should be in provider/model format"))
            }
            Some((_, error @ InvalidTarget::TooLong)) => {
                Err(InvalidRequest::rule("fallbacks", error.to_string()))
            }
        }
    }
}
