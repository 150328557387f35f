//! A client that reads the events of a job until its end, and opens the stream again when it breaks.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};

use crate::load::{Load, count, request};

/// How long it goes on: longer than any job takes that no limit keeps waiting.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// What a stream has said so far.
#[derive(Default)]
struct Seen {
    last_id: Option<u64>,
    /// That Redis is away. Once it is back, how the job stands is told again.
    is_away: bool,
    /// The ended job.
    end: Option<String>,
    wrong: Option<String>,
}

pub(crate) async fn follow(load: &Load, number: u64, path: &str) {
    let (until, mut seen) = (Instant::now() + PATIENCE, Seen::default());
    for tries in 0.. {
        let api = load.api(number + tries);
        let mut stream = request(&api, Method::GET, &format!("{path}/events"), number);
        stream = stream.header("accept", "text/event-stream").timeout(PATIENCE);
        if let Some(id) = seen.last_id {
            stream = stream.header("last-event-id", id);
        }
        match stream.send().await {
            Ok(answer) if answer.status() == 200 => seen.read(answer).await,
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 503) => {}
            // Somebody has removed it.
            Ok(answer) if answer.status() == 404 => return,
            Ok(answer) => return load.wrong(format!("{path}: events were answered {}", answer.status())),
            Err(_) => {}
        }
        if let Some(wrong) = seen.wrong {
            return load.wrong(format!("{path}: events: {wrong}"));
        }
        if let Some(end) = seen.end {
            count(&load.counts.streams);
            return load.ended(path, end);
        }
        count(&load.counts.streams_broken);
        if Instant::now() > until {
            let answer = api.try_send(request(&api, Method::GET, path, number)).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                load.wrong(format!("{path}: no stream of events has told the end"));
            }
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Seen {
    /// Reads to the end, or until the stream breaks.
    async fn read(&mut self, mut answer: Response) {
        let mut text = String::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            text.push_str(&String::from_utf8_lossy(&piece));
            while let Some((event, rest)) = text.split_once("\n\n") {
                self.event(event);
                text = rest.to_owned();
            }
        }
    }

    fn event(&mut self, event: &str) {
        let field = |name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_start)
        };
        let Some(name) = field("event") else { return };
        if let Some(id) = field("id") {
            let id = id.parse().unwrap();
            let was_away = std::mem::take(&mut self.is_away);
            if self.last_id.is_some_and(|last| id < last || id == last && !was_away) {
                self.wrong = Some(format!("event {id} came after {:?}", self.last_id));
            }
            self.last_id = Some(id);
        }
        match name {
            "end" => self.end = Some(field("data").unwrap_or_default().to_owned()),
            "status" if self.end.is_some() => self.wrong = Some("an event came after the end".to_owned()),
            "status" => {}
            "error" => self.is_away = true,
            other => self.wrong = Some(format!("an event {other}")),
        }
    }
}
