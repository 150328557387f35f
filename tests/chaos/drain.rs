//! The end of a run: what is waited for before the books are closed.

use std::time::{Duration, Instant};

use hermod_tests::Cluster;
use redis::{Commands, Connection};

const PAUSE: Duration = Duration::from_millis(500);

/// Waits until no job waits, as long as they become fewer: limits may let a backlog go on slowly. Gives up once they have not for so long.
pub(crate) async fn backlog_ends(cluster: &Cluster, patience: Duration) {
    let (mut least, mut until) = (u64::MAX, Instant::now() + patience);
    while Instant::now() < until {
        let left: u64 = cluster.connections().into_iter().map(waiting).sum();
        if left == 0 {
            return;
        }
        if left < least {
            (least, until) = (left, Instant::now() + patience);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Jobs of a node that wait or run.
fn waiting(mut redis: Connection) -> u64 {
    let mut count = |pattern: &str, command: &str| -> u64 {
        let keys: Vec<String> = redis.keys(pattern).unwrap();
        keys.iter().map(|key| redis::cmd(command).arg(key).query::<u64>(&mut redis).unwrap()).sum()
    };
    count("{hermod:?*}:queue", "XLEN")
        + count("{hermod:?*}:lane:*", "ZCARD")
        + count("{hermod:?*}:delayed", "ZCARD")
}

/// Waits until Redis holds nothing that would stay; gives what still does at the deadline. Jobs that no client knows of end, too.
pub(crate) async fn leaks(cluster: &Cluster, deadline: Instant) -> Vec<String> {
    loop {
        let leaks = cluster.leaks();
        if leaks.is_empty() || Instant::now() > deadline {
            return leaks;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
