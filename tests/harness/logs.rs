use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a process has written so far, a JSON object or plain text a line.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    /// What keeps a process's lines.
    pub fn keep(&self) -> impl FnMut(&str) + Clone + Send + 'static {
        let lines = Arc::clone(&self.0);
        move |line: &str| lines.lock().unwrap().push(line.to_owned())
    }

    /// All lines.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines with this message.
    pub fn with_message(&self, message: &str) -> Vec<Value> {
        let lines = self.all();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    /// The address in the first line with this message, once it is there.
    pub(crate) fn address(&self, message: &str, process: &mut hermod::process::Process) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(line) = self.with_message(message).first() {
                return line["address"].as_str().unwrap().to_owned();
            }
            let ended = process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} did not start: {:#?}",
                process.name(),
                self.all()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
