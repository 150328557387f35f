use std::collections::BTreeMap;

use hermod_types::Shard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::Call;
use crate::keys::{DEFINITIONS, DEFINITIONS_VERSION};
use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, keys};

/// Definitions of all kinds that there may be: some for each of 10,000 virtual keys.
const MOST: usize = 100_000;
/// Definitions of one read.
const PAGE: usize = 1000;
/// How often a read begins anew because of changes meanwhile.
const READS: usize = 3;

/// What was defined over HTTP: virtual keys, teams, limits and the like, a text each. Usage is never among it. Cheap to clone.
///
/// The version is a random text, new with each change: whoever holds one knows whether it has read what is there. A count would not
/// do, since a Redis that lost its last second would give out the same one again.
#[derive(Clone)]
pub struct DefinitionStore {
    store: Store,
    queue: String,
}

/// All that was stored at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDefinitions {
    /// None before the first change.
    pub version: Option<String>,
    /// `<kind>/<id>`, and what is defined.
    pub rows: BTreeMap<String, String>,
}

/// What is to be written and removed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub puts: BTreeMap<String, String>,
    pub removes: Vec<String>,
}

/// What came of [`Changes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutDefinitions {
    /// They are written, and this is the version since then.
    Done(String),
    /// The definitions are not what the caller has read any more.
    Changed,
    /// There are as many as there may be.
    Full,
}

#[derive(Serialize)]
struct PutArgs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<&'a str>,
    version: &'a str,
    puts: Vec<PutRow<'a>>,
    removes: &'a [String],
    most: usize,
}

#[derive(Serialize)]
struct PutRow<'a> {
    name: &'a str,
    row: &'a str,
}

#[derive(Serialize)]
struct KeepArgs<'a> {
    name: &'a str,
    row: &'a str,
    version: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum PutReply {
    Done,
    Changed,
    Full,
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty()
    }
}

impl StoredDefinitions {
    /// What is stored once the changes are.
    pub fn apply(&mut self, changes: Changes, version: String) {
        for name in changes.removes {
            self.rows.remove(&name);
        }
        self.rows.extend(changes.puts);
        self.version = Some(version);
    }
}

impl DefinitionStore {
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), queue: keys::queue(Shard::default()) }
    }

    /// The version of what is stored; none before the first change.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn version(&self) -> Result<Option<String>, QueueError> {
        self.store.shared().run(Call::Command(redis::cmd("GET").arg(DEFINITIONS_VERSION))).await
    }

    /// All that is stored, as it was at one moment. If others change it faster than it is read, a part is newer than the version
    /// says: whoever follows that reads again.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn read(&self) -> Result<StoredDefinitions, QueueError> {
        let mut version = self.version().await?;
        let mut reads = 1;
        loop {
            let rows = self.rows().await?;
            let now = self.version().await?;
            if now == version || reads == READS {
                return Ok(StoredDefinitions { version, rows });
            }
            version = now;
            reads += 1;
        }
    }

    async fn rows(&self) -> Result<BTreeMap<String, String>, QueueError> {
        let (mut rows, mut cursor) = (BTreeMap::new(), 0_u64);
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(DEFINITIONS).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<(String, String)>) =
                self.store.shared().run(Call::Command(&command)).await?;
            rows.extend(found);
            cursor = next;
            if cursor == 0 {
                return Ok(rows);
            }
        }
    }

    /// Writes and removes definitions, if they still are those of version `was`. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn put(&self, was: Option<&str>, changes: &Changes) -> Result<PutDefinitions, QueueError> {
        let version = new_version();
        let puts = changes.puts.iter().map(|(name, row)| PutRow { name, row }).collect();
        let args = PutArgs { was, version: &version, puts, removes: &changes.removes, most: MOST };
        let reply = script::run(self.store.shared(), &SCRIPTS.definitions_put, &self.queue, &args).await?;
        Ok(match reply {
            PutReply::Done => PutDefinitions::Done(version),
            PutReply::Changed => PutDefinitions::Changed,
            PutReply::Full => PutDefinitions::Full,
        })
    }

    /// Keeps what one process makes for all: gives `row`, or what another process has kept before.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn keep(&self, name: &str, row: &str) -> Result<String, QueueError> {
        let args = KeepArgs { name, row, version: &new_version() };
        script::run(self.store.shared(), &SCRIPTS.definitions_keep, &self.queue, &args).await
    }
}

impl DefinitionStore {
    /// Has all that follow the version read anew, although nothing is defined in another way: what waits for a limit is looked at again.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn touch(&self) -> Result<(), QueueError> {
        let mut command = redis::cmd("SET");
        command.arg(DEFINITIONS_VERSION).arg(new_version());
        self.store.shared().run(Call::Command(&command)).await
    }
}

fn new_version() -> String {
    Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_applied_as_redis_applies_them() {
        let mut stored = StoredDefinitions {
            version: None,
            rows: BTreeMap::from([
                ("teams/a".to_owned(), "1".to_owned()),
                ("teams/b".to_owned(), "2".to_owned()),
            ]),
        };
        let changes = Changes {
            puts: BTreeMap::from([
                ("teams/a".to_owned(), "3".to_owned()),
                ("teams/c".to_owned(), "4".to_owned()),
            ]),
            removes: vec!["teams/b".to_owned()],
        };
        assert!(!changes.is_empty() && Changes::default().is_empty());
        stored.apply(changes, "v".to_owned());
        let rows: Vec<_> = stored.rows.iter().map(|(name, row)| (name.as_str(), row.as_str())).collect();
        assert_eq!(rows, [("teams/a", "3"), ("teams/c", "4")]);
        assert_eq!(stored.version.as_deref(), Some("v"));
    }

    #[test]
    fn each_version_is_another() {
        assert_ne!(new_version(), new_version());
    }
}
