use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Api;

/// A link to an API process that loses answers: the request arrives whole, and the connection ends when its answer comes.
#[derive(Debug)]
pub struct LossyLink {
    /// The same API process through this link.
    pub api: Api,
    to_lose: Arc<AtomicUsize>,
}

impl LossyLink {
    /// Starts one, which loses nothing yet. It ends with the test's process.
    pub fn start(api: &Api) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to_lose = Arc::<AtomicUsize>::default();
        let (shared, address) = (Arc::clone(&to_lose), api.url.trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to_lose, address) = (Arc::clone(&shared), address.clone());
                std::thread::spawn(move || carry(client, &address, &to_lose));
            }
        });
        Self { api: Api::new(url), to_lose }
    }

    /// Loses the next answers, so many.
    pub fn lose(&self, answers: usize) {
        self.to_lose.store(answers, Ordering::SeqCst);
    }

    /// How many answers are still to be lost.
    pub fn still_to_lose(&self) -> usize {
        self.to_lose.load(Ordering::SeqCst)
    }
}

fn carry(mut client: TcpStream, address: &str, to_lose: &AtomicUsize) {
    let mut server = TcpStream::connect(address).unwrap();
    let (mut requests, mut onward) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        // Either side's end is the end of both.
        std::io::copy(&mut requests, &mut onward).ok();
        onward.shutdown(Shutdown::Both).ok();
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        let is_lost = to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |answers| answers.checked_sub(1))
            .is_ok();
        if is_lost || client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}
