use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream;
use hermod::demo::{Calls, Demo, ReceivedPart};
use hermod_types::Operation;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::{Provider, file, json_of};

pub(crate) fn base64_of(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[actix_web::test]
async fn speech_is_as_long_as_its_words() {
    let provider = Provider::start(Demo::default());
    let speak = async |format: Value| {
        let body =
            json!({"model": "echo", "input": "one two three", "voice": "x", "response_format": format});
        let response = provider.send(Operation::Speech, &body).await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, response.bytes().await.unwrap())
    };
    let (kind, wav) = speak(json!("wav")).await;
    let mut wav = hound::WavReader::new(Cursor::new(wav)).unwrap();
    assert_eq!((kind.as_str(), wav.spec().sample_rate, wav.duration()), ("audio/wav", 24_000, 7_200));
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    assert!(samples.iter().any(|sample| *sample > 4_000) && samples.iter().any(|sample| *sample < -4_000));
    let (kind, pcm) = speak(json!("pcm")).await;
    let expected: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!((kind.as_str(), pcm.as_ref()), ("audio/pcm", expected.as_slice()));
    for (format, expected) in [
        (Value::Null, "audio/mpeg"),
        (json!("mp3"), "audio/mpeg"),
        (json!("opus"), "audio/opus"),
        (json!("aac"), "audio/aac"),
        (json!("flac"), "audio/flac"),
    ] {
        let (kind, bytes) = speak(format).await;
        assert_eq!((kind.as_str(), bytes.len()), (expected, pcm.len()));
    }
    let wrong = json!({"model": "echo", "input": "x", "voice": "x", "response_format": "ogg"});
    assert_eq!(provider.send(Operation::Speech, &wrong).await.status(), 400);
}

/// The transcript of 1000 bytes, with these fields.
async fn transcribe(provider: &Provider, fields: &[(&'static str, &'static str)]) -> reqwest::Response {
    let form = Form::new().part("file", file("talk.mp3", 1000)).text("model", "echo");
    let form = fields.iter().fold(form, |form, (name, value)| form.text(*name, *value));
    provider.post(Operation::Transcription).multipart(form).send().await.unwrap()
}

#[actix_web::test]
async fn a_transcript_says_what_the_file_is() {
    const TEXT: &str = "a recording of 1000 bytes named talk.mp3";
    let provider = Provider::start(Demo::default());
    let plain = json_of(transcribe(&provider, &[]).await).await;
    assert_eq!(plain, json!({"text": TEXT, "usage": {"type": "duration", "seconds": 1.5}}));

    let both = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")];
    let verbose = [("response_format", "verbose_json"), ("language", "en"), both[0], both[1]];
    let verbose = json_of(transcribe(&provider, &verbose).await).await;
    assert_eq!((&verbose["text"], &verbose["language"]), (&json!(TEXT), &json!("en")));
    assert_eq!(
        (&verbose["segments"][0]["id"], &verbose["words"][6]["word"]),
        (&json!(0), &json!("talk.mp3"))
    );
    let words = json_of(transcribe(&provider, &[("response_format", "verbose_json"), both[0]]).await).await;
    assert!(words.get("segments").is_none() && words.get("words").is_some(), "{words}");

    let diarized = json_of(transcribe(&provider, &[("response_format", "diarized_json")]).await).await;
    assert_eq!(
        (&diarized["segments"][0]["id"], &diarized["segments"][0]["speaker"]),
        (&json!("seg_001"), &json!("A"))
    );

    for (format, kind, text) in [
        ("text", "text/plain; charset=utf-8", format!("{TEXT}\n")),
        ("srt", "application/x-subrip", format!("1\n00:00:00,000 --> 00:00:01,500\n{TEXT}\n\n")),
        ("vtt", "text/vtt", format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{TEXT}\n\n")),
    ] {
        let answer = transcribe(&provider, &[("response_format", format)]).await;
        assert_eq!(answer.headers()["content-type"], kind);
        assert_eq!(answer.text().await.unwrap(), text);
    }
    let without = Form::new().text("model", "echo").text("file", "not a file");
    let without = provider.post(Operation::Transcription).multipart(without).send().await.unwrap();
    assert_eq!(without.status(), 400);
    let json = provider.send(Operation::Transcription, &json!({"model": "echo"})).await;
    assert_eq!(json.status(), 400);
    assert!(json.text().await.unwrap().contains("the form cannot be read"));
}

#[actix_web::test]
async fn images_are_of_one_colour_that_what_was_sent_chooses() {
    let provider = Provider::start(Demo::default());
    let generate = async |prompt: &str, format: &str| {
        let body = json!({"model": "echo", "prompt": prompt, "n": 2, "response_format": format});
        provider.json(Operation::ImageGeneration, &body).await["data"].clone()
    };
    let images = generate("a cat", "b64_json").await;
    let first = pixels(&base64_of(&images[0]["b64_json"]));
    assert_eq!((first.len(), first[..3].repeat(16 * 16)), (16 * 16 * 3, first.clone()));
    assert_ne!(first, pixels(&base64_of(&images[1]["b64_json"])), "each has its own colour");
    assert_eq!(generate("a cat", "b64_json").await, images, "the same prompt, the same images");
    assert_ne!(generate("a dog", "b64_json").await, images);
    let url = format!("data:image/png;base64,{}", images[0]["b64_json"].as_str().unwrap());
    assert_eq!(generate("a cat", "url").await[0]["url"], url);

    for operation in [Operation::ImageEdit, Operation::ImageVariation] {
        let image = async |prompt: &'static str, field: &'static str| {
            let form = Form::new().text("model", "echo").text("prompt", prompt).text("n", "3");
            let form = form.part(field, file("a.png", 10)).part("mask", file("m.png", 5));
            provider.post(operation).multipart(form).send().await.unwrap()
        };
        let one = json_of(image("x", "image").await).await;
        assert_eq!(one["data"].as_array().unwrap().len(), 3);
        assert_eq!(one["usage"]["input_tokens_details"], json!({"text_tokens": 1, "image_tokens": 1}));
        assert_eq!(json_of(image("x", "image[]").await).await["data"], one["data"]);
        assert_ne!(json_of(image("y", "image[]").await).await["data"], one["data"]);
        assert_eq!(image("x", "picture").await.status(), 400);
    }
}

fn pixels(png: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

#[actix_web::test]
async fn a_form_is_kept_part_by_part() {
    let calls = Calls::default();
    let provider = Provider::recording(&calls);
    let form = Form::new()
        .text("timestamp_granularities[]", "word")
        .part("file", file("a \"b\".mp3", 3).mime_str("audio/mpeg").unwrap())
        .text("model", "echo")
        .text("timestamp_granularities[]", "segment");
    let answer = provider.post(Operation::Transcription).multipart(form).send().await.unwrap();
    assert_eq!(json_of(answer).await["text"], "a recording of 3 bytes named a \"b\".mp3");
    let part =
        |name: &str, filename: Option<&str>, kind: Option<&str>, content: &'static [u8]| ReceivedPart {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
            content_type: kind.map(str::to_owned),
            content: content.into(),
        };
    assert_eq!(
        calls.all()[0].parts().await.unwrap(),
        [
            part("timestamp_granularities[]", None, None, b"word"),
            part("file", Some("a \"b\".mp3"), Some("audio/mpeg"), b"\r\r\r"),
            part("model", None, None, b"echo"),
            part("timestamp_granularities[]", None, None, b"segment"),
        ]
    );
}

/// 1 MiB so many times.
fn large(megabytes: usize) -> Part {
    let pieces = (0..megabytes).map(|_| std::io::Result::Ok(vec![b'\n'; 1 << 20]));
    Part::stream(Body::wrap_stream(stream::iter(pieces))).file_name("large.wav")
}

#[actix_web::test]
async fn an_upload_is_counted_as_it_comes_up_to_200_mb() {
    let provider = Provider::start(Demo::default());
    let send = async |megabytes: usize| {
        let form = Form::new().text("model", "echo").part("file", large(megabytes));
        provider.post(Operation::Transcription).multipart(form).send().await
    };
    let before = peak_memory();
    let answer = json_of(send(150).await.unwrap()).await;
    assert_eq!(answer["text"], format!("a recording of {} bytes named large.wav", 150 << 20));
    assert!(peak_memory() - before < 100 << 20, "it is not kept");
    // The refusal may come while the client still sends: it reads it, or sees the connection end.
    if let Ok(refused) = send(201).await {
        assert_eq!(refused.status(), 400);
    }
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
