use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use redis::Connection;

use crate::Cluster;

/// The commands that Redis runs, from now on; those of scripts and transactions are among them.
pub struct Monitor {
    commands: Arc<Mutex<Vec<Command>>>,
    thread: JoinHandle<()>,
    redis: Connection,
    /// What ends it, and none of the others.
    end: String,
}

/// A command's words.
#[derive(Clone)]
pub struct Command(pub Vec<Vec<u8>>);

impl Monitor {
    pub fn start(cluster: &Cluster) -> Self {
        let url = cluster.redis_url();
        let mut stream = UnixStream::connect(url.strip_prefix("unix://").unwrap()).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        lines.read_line(&mut String::new()).unwrap();
        let commands = Arc::<Mutex<Vec<Command>>>::default();
        let seen = Arc::clone(&commands);
        let end = format!("monitor {:x} ends", fastrand::u64(..));
        let last = end.clone();
        let thread = std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                assert!(lines.read_line(&mut line).unwrap() > 0);
                if line.contains(&last) {
                    return;
                }
                seen.lock().unwrap().push(Command::shown(line.as_bytes()));
            }
        });
        Self { commands, thread, redis: cluster.connect(), end }
    }

    /// How many of these there were so far.
    pub fn count(&self, is_one: impl Fn(&Command) -> bool) -> usize {
        self.commands.lock().unwrap().iter().filter(|command| is_one(command)).count()
    }

    /// What there was so far.
    pub fn commands(mut self) -> Vec<Command> {
        let _: String = redis::cmd("ECHO").arg(&self.end).query(&mut self.redis).unwrap();
        self.thread.join().unwrap();
        std::mem::take(&mut self.commands.lock().unwrap())
    }
}

impl Command {
    /// Reads it as a monitor shows it: `1700000000.1 [0 unix:…] "HSET" "key" "\x00"`.
    fn shown(line: &[u8]) -> Self {
        let mut bytes = line.iter().copied();
        let mut words = Vec::new();
        while bytes.any(|byte| byte == b'"') {
            let mut word = Vec::new();
            while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                word.push(if byte == b'\\' { escaped(&mut bytes) } else { byte });
            }
            words.push(word);
        }
        Self(words)
    }

    pub fn word(&self, number: usize) -> String {
        String::from_utf8_lossy(&self.0[number]).into_owned()
    }

    /// In capitals.
    pub fn name(&self) -> String {
        self.word(0).to_uppercase()
    }

    /// Bytes of the largest.
    pub fn largest(commands: &[Self]) -> usize {
        commands.iter().map(|command| command.0.iter().map(Vec::len).sum()).max().unwrap()
    }

    /// Sends those with one of these names once more, in their order.
    pub fn repeat(commands: &[Self], names: &[&str], redis: &mut Connection) {
        for command in commands.iter().filter(|command| names.contains(&command.name().as_str())) {
            let mut repeated = redis::cmd(&command.name());
            for word in &command.0[1..] {
                repeated.arg(word.as_slice());
            }
            let _: redis::Value = repeated.query(redis).unwrap();
        }
    }
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    match bytes.next().unwrap() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let digits = String::from_utf8(vec![bytes.next().unwrap(), bytes.next().unwrap()]).unwrap();
            u8::from_str_radix(&digits, 16).unwrap()
        }
        other => other,
    }
}
