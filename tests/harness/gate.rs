use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// A completion with line breaks between its tokens, as some providers write them.
const COMPLETION: &str = "{\"id\":\"cmpl-1\",\r\n \"object\":\"text_completion\", \"created\":1,\n\n \"model\":\"m\",\"choices\":[\r{\"text\":\
     \"a\\nb\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]\n}\n";

/// A provider that answers when the test wants it to.
#[derive(Debug)]
pub struct Gate {
    url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    arrived: usize,
}

impl Gate {
    /// Starts one, which is closed. It ends with the test's process.
    pub fn start() -> Self {
        Self::answering(COMPLETION)
    }

    /// The same with another answer.
    pub fn answering(answer: impl Into<Arc<str>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                let serve = move || serve(stream, &state, &answer);
                std::thread::Builder::new().stack_size(256 << 10).spawn(serve).unwrap();
            }
        });
        Self { url, state }
    }

    /// A configuration in which its models are `gate/…`.
    pub fn config(&self) -> Value {
        json!({"providers": {"gate": {
            "network_config": {"base_url": self.url, "default_request_timeout_in_seconds": 300},
            "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
        }}})
    }

    /// Has it answer, from now on at once.
    pub fn open(&self) {
        self.state.0.lock().unwrap().is_open = true;
        self.state.1.notify_all();
    }

    /// Has it answer no more.
    pub fn close(&self) {
        self.state.0.lock().unwrap().is_open = false;
    }

    /// How many calls have come.
    pub fn arrived(&self) -> usize {
        self.state.0.lock().unwrap().arrived
    }
}

fn serve(mut stream: TcpStream, (state, changed): &(Mutex<State>, Condvar), answer: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    if reader.read_exact(&mut vec![0; length]).is_err() {
        return;
    }
    let mut state = state.lock().unwrap();
    state.arrived += 1;
    while !state.is_open {
        state = changed.wait(state).unwrap();
    }
    drop(state);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    // The worker may be gone.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())));
}
