use redis::Commands;

use crate::cluster::PATIENCE;
use crate::{Cluster, eventually};

impl Cluster {
    /// Asserts that nothing waits and nothing is held in any shard, and that every record has ended and will expire.
    pub async fn assert_drained(&self) {
        for mut redis in self.connections() {
            let queues: Vec<String> = redis.keys("{hermod:*}:queue").unwrap();
            for queue in queues {
                eventually("the queue is empty", PATIENCE, async || {
                    let entries: u64 = redis.xlen(&queue).unwrap();
                    (entries == 0).then_some(())
                })
                .await;
                let pending: (u64, Option<String>, Option<String>, Option<Vec<redis::Value>>) =
                    redis::cmd("XPENDING").arg(&queue).arg("workers").query(&mut redis).unwrap_or_default();
                assert_eq!(pending.0, 0, "nothing is held in {queue}");
            }
            let keys: Vec<String> = redis.keys("{hermod:*}:job:*").unwrap();
            for key in keys {
                let status: Option<String> = redis.hget(&key, "status").unwrap();
                let ttl: i64 = redis.pttl(&key).unwrap();
                // One that expired just now is as good.
                let ended = matches!(status.as_deref(), Some("completed" | "failed")) && ttl > 0;
                assert!(ended || ttl == -2, "{key}: {status:?}, expires in {ttl} ms");
            }
        }
    }
}
