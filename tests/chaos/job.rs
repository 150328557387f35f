//! What each job asks for, and what its result must be: its number decides.

use std::time::Duration;

use futures_util::stream;
use hermod_tests::{Api, FormBody};
use hermod_types::Operation;
use reqwest::{Body, Client, RequestBuilder};
use serde_json::{Value, json};

/// Bytes of an upload that are sent at once, and the wait before the next ones: so that some are cut off in the middle.
const CHUNK_BYTES: usize = 100_000;
const CHUNK_PAUSE: Duration = Duration::from_millis(50);

/// A kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    TextCompletion,
    /// Chat with a provider of the same form.
    Chat,
    /// Chat with a provider of Anthropic's form.
    ConvertedChat,
    /// An upload of 0.3 to 3 MB, sent bit by bit.
    Transcription,
    /// An upload of 0.3 to 1 MB, sent at once, that is answered with an image.
    ImageEdit,
    ImageGeneration,
    /// An answer of 280 to 670 KB.
    Speech,
}

impl Kind {
    pub(crate) fn of(number: u64) -> Self {
        match random(number).u32(..1000) {
            0..10 => Self::Transcription,
            10..15 => Self::ImageEdit,
            15..25 => Self::Speech,
            25..40 => Self::ImageGeneration,
            40..140 => Self::ConvertedChat,
            140..240 => Self::Chat,
            _ => Self::TextCompletion,
        }
    }

    fn operation(self) -> Operation {
        match self {
            Self::TextCompletion => Operation::TextCompletion,
            Self::Chat | Self::ConvertedChat => Operation::ChatCompletion,
            Self::Transcription => Operation::Transcription,
            Self::ImageEdit => Operation::ImageEdit,
            Self::ImageGeneration => Operation::ImageGeneration,
            Self::Speech => Operation::Speech,
        }
    }
}

fn random(number: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(number)
}

/// The submit of a job.
pub(crate) fn submission(api: &Api, number: u64) -> RequestBuilder {
    let kind = Kind::of(number);
    let mut model = model(number);
    if kind == Kind::ConvertedChat {
        model = model.replace("demo/", "claude/");
    }
    let (content_type, body) = body(number, &model);
    let request = api.submission_to(kind.operation()).header("content-type", content_type);
    if kind != Kind::Transcription {
        return request.body(body);
    }
    let chunks: Vec<Vec<u8>> = body.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
    request.body(Body::wrap_stream(stream::unfold(chunks.into_iter(), async |mut chunks| {
        let chunk = chunks.next()?;
        tokio::time::sleep(CHUNK_PAUSE).await;
        Some((std::io::Result::Ok(chunk), chunks))
    })))
}

fn body(number: u64, model: &str) -> (&'static str, Vec<u8>) {
    let mut body = json!({"model": model, "fallbacks": ["demo/echo"]});
    match Kind::of(number) {
        Kind::TextCompletion => {
            body["prompt"] = json!(prompt(number));
            if choices(number) > 1 {
                body["n"] = json!(choices(number));
            }
        }
        Kind::Chat | Kind::ConvertedChat => {
            body["messages"] = json!([{"role": "user", "content": prompt(number)}]);
        }
        Kind::ImageGeneration => body["prompt"] = json!(prompt(number)),
        Kind::Speech => {
            let words = random(number).usize(60..140);
            body["input"] = json!(vec![number.to_string(); words].join(" "));
            body["voice"] = json!("alloy");
            body["response_format"] = json!(if number.is_multiple_of(2) { "wav" } else { "pcm" });
        }
        Kind::Transcription => return form("file", number, model),
        Kind::ImageEdit => return form("image[]", number, model),
    }
    ("application/json", body.to_string().into_bytes())
}

fn form(field: &str, number: u64, model: &str) -> (&'static str, Vec<u8>) {
    let form = FormBody::new()
        .field("prompt", &number.to_string())
        .file(field, &filename(number), "application/octet-stream", &file(number))
        .field("model", model)
        .field("fallbacks", "demo/echo");
    (FormBody::CONTENT_TYPE, form.finish())
}

fn filename(number: u64) -> String {
    format!("{number}.bin")
}

/// What is uploaded.
pub(crate) fn file(number: u64) -> Vec<u8> {
    let most = if Kind::of(number) == Kind::Transcription { 3_000_000 } else { 1_000_000 };
    let mut random = random(number);
    let mut bytes = vec![0; random.usize(300_000..most)];
    random.fill(&mut bytes);
    bytes
}

/// The number; some are large enough to be kept apart from their records.
fn prompt(number: u64) -> String {
    let padding = match number % 100 {
        27 => 200_000,
        part if part % 10 == 3 => 20_000,
        part if part % 10 == 7 => 3_000,
        _ => 0,
    };
    format!("{number}{}", " ".repeat(padding))
}

/// How often a prompt is answered: a small body may have a large outcome.
fn choices(number: u64) -> usize {
    if number % 10 == 7 { 8 } else { 1 }
}

/// Mostly quick calls, some that outlive faults, some that outlive the lease, some that are delayed until a retry, some
/// that fall back.
fn model(number: u64) -> String {
    // Each has a cooldown of its own; a Retry-After of "06" is one of 6 s.
    const WAITS: [&str; 8] = ["6", "7", "8", "9", "06", "07", "08", "09"];
    match number % 20 {
        0..9 => "demo/echo".to_owned(),
        9..12 => "demo/slow-200ms".to_owned(),
        12..14 => "demo/slow-1s".to_owned(),
        14 => "demo/slow-7s".to_owned(),
        15..17 => {
            let wait = usize::try_from(number / 20).unwrap() % WAITS.len();
            format!("patient/retry-after-{}", WAITS[wait])
        }
        _ => "demo/fail-503".to_owned(),
    }
}

/// Whether its first call takes a while, or it is delayed.
pub(crate) fn is_slow(number: u64) -> bool {
    matches!(number % 20, 9..17)
}

/// Whether `result` is what the job asked for. `content` is what is served below its path where that is media.
pub(crate) async fn is_right(number: u64, result: &Value, content: Option<&[u8]>, reference: &str) -> bool {
    let expected = number.to_string();
    let says = |text: &Value| text.as_str().is_some_and(|text| text.trim_end() == expected);
    let all = |place: &str, count: usize| {
        let choices = result["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
        choices.len() == count && choices.iter().all(|choice| choice.pointer(place).is_some_and(says))
    };
    match Kind::of(number) {
        Kind::TextCompletion => all("/text", choices(number)),
        Kind::Chat | Kind::ConvertedChat => all("/message/content", 1),
        Kind::Transcription => {
            let bytes = file(number).len();
            result["text"] == format!("a recording of {bytes} bytes named {}", filename(number))
        }
        Kind::Speech => content == Some(&*asked(number, reference).await),
        Kind::ImageGeneration | Kind::ImageEdit => {
            let answer: Value = serde_json::from_slice(&asked(number, reference).await).unwrap();
            answer["data"].is_array() && answer["data"] == result["data"]
        }
    }
}

/// What a provider says that nothing is done to, and that is asked straight.
async fn asked(number: u64, reference: &str) -> Vec<u8> {
    let url = format!("{reference}/v1/{}", Kind::of(number).operation().path());
    let (content_type, body) = body(number, "echo");
    let request = Client::new().post(url).header("content-type", content_type).body(body);
    request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap().to_vec()
}
