use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux gives to connections and to port 0 (32768 and up): a port of a server that is down for a while
/// would else be taken by somebody's connection.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port for a server that must be told its own: Redis takes no port 0. Each test process begins elsewhere.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < COUNT, "no port is free");
        let port = FIRST + (own + next) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
