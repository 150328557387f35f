use std::sync::{Arc, Mutex};

use hermod::process::Process;
use serde_json::Value;

use crate::{PATIENCE, eventually_ok};

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

    /// Waits for the first line with this message.
    pub async fn line(&self, message: &str) -> Value {
        eventually_ok(&format!("the log says {message:?}"), PATIENCE, async || {
            self.with_message(message).first().cloned().ok_or_else(|| format!("{:#?}", self.all()))
        })
        .await
    }

    /// The address in the first line with this message, once it is there.
    pub(crate) async fn address(&self, message: &str, process: &mut Process) -> String {
        eventually_ok(&format!("{} has started", process.name()), PATIENCE, async || {
            let said = self.with_message(message);
            if let Some(line) = said.first() {
                return Ok(line["address"].as_str().unwrap().to_owned());
            }
            assert!(process.try_wait().unwrap().is_none(), "{} ended: {:#?}", process.name(), self.all());
            Err(format!("{:#?}", self.all()))
        })
        .await
    }
}
