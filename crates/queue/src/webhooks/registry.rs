use std::collections::BTreeMap;

use hermod_types::webhook::{EndpointId, EndpointState};
use serde::{Deserialize, Serialize};

use super::{StateRow, Webhooks, texts};
use crate::QueueError;
use crate::script::{self, SCRIPTS};

/// Endpoints that may be registered.
pub const MOST_ENDPOINTS: usize = 1000;

/// What Redis holds of an endpoint.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: EndpointId,
    /// None for one that is not registered here.
    pub definition: Option<String>,
    pub state: EndpointState,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Put {
    Done,
    /// Another endpoint has this name.
    Taken,
    /// It is not what the caller has read any more.
    Changed,
    /// There is no such endpoint.
    Unknown,
    /// There are [`MOST_ENDPOINTS`].
    Full,
}

#[derive(Serialize)]
struct PutArgs<'a> {
    id: String,
    name: &'a str,
    definition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<&'a str>,
    most: usize,
}

#[derive(Serialize)]
struct IdArgs {
    id: String,
}

#[derive(Serialize)]
struct ReadArgs<'a> {
    ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct ListArgs {
    cursor: String,
}

#[derive(Deserialize)]
struct StoredRow {
    id: String,
    definition: Option<String>,
    state: StateRow,
}

#[derive(Deserialize)]
struct ListReply {
    cursor: String,
    found: Vec<StoredRow>,
}

impl StoredRow {
    /// None for an id that is none: somebody else's writing.
    fn read(self) -> Option<Stored> {
        let Self { id, definition, state } = self;
        Some(Stored { id: id.parse().ok()?, definition, state: state.into() })
    }
}

impl Webhooks {
    /// Registers an endpoint. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn create(&self, id: EndpointId, name: &str, definition: &str) -> Result<Put, QueueError> {
        self.put(id, name, definition, None).await
    }

    /// Replaces the definition of an endpoint, if it still is what the caller has read. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn replace(
        &self,
        id: EndpointId,
        was: &str,
        name: &str,
        definition: &str,
    ) -> Result<Put, QueueError> {
        self.put(id, name, definition, Some(was)).await
    }

    async fn put(
        &self,
        id: EndpointId,
        name: &str,
        definition: &str,
        was: Option<&str>,
    ) -> Result<Put, QueueError> {
        let args = PutArgs { id: id.to_string(), name, definition, was, most: MOST_ENDPOINTS };
        script::run(self.store.shared(), &SCRIPTS.webhook_put, &self.queue, &args).await
    }

    /// Deletes an endpoint; its history stays. Returns whether there was one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn remove(&self, id: EndpointId) -> Result<bool, QueueError> {
        let args = IdArgs { id: id.to_string() };
        script::run(self.store.shared(), &SCRIPTS.webhook_remove, &self.queue, &args).await
    }

    /// Lifts what disabled an endpoint without the operator, and counts its failures from 0. Returns whether there was that.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn enable(&self, id: EndpointId) -> Result<bool, QueueError> {
        let args = IdArgs { id: id.to_string() };
        script::run(self.store.shared(), &SCRIPTS.webhook_enable, &self.queue, &args).await
    }

    /// What there is of the endpoint with this id, registered or not.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn find(&self, id: EndpointId) -> Result<Stored, QueueError> {
        let found = self.read(&[id], None).await?.pop();
        found.ok_or_else(|| QueueError::Unexpected("an endpoint that was asked for is missing".to_owned()))
    }

    /// The registered endpoint with this name.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn find_named(&self, name: &str) -> Result<Option<Stored>, QueueError> {
        Ok(self.read(&[], Some(name)).await?.pop())
    }

    /// The same for many, in this order.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn find_all(&self, ids: &[EndpointId]) -> Result<Vec<Stored>, QueueError> {
        if ids.is_empty() { Ok(Vec::new()) } else { self.read(ids, None).await }
    }

    async fn read(&self, ids: &[EndpointId], name: Option<&str>) -> Result<Vec<Stored>, QueueError> {
        let args = ReadArgs { ids: texts(ids), name };
        let rows: Vec<StoredRow> =
            script::run(self.store.shared(), &SCRIPTS.webhook_read, &self.queue, &args).await?;
        Ok(rows.into_iter().filter_map(StoredRow::read).collect())
    }

    /// All registered endpoints, by id: the oldest first.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn registered(&self) -> Result<Vec<Stored>, QueueError> {
        let mut all = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let args = ListArgs { cursor };
            let reply: ListReply =
                script::run(self.store.shared(), &SCRIPTS.webhook_list, &self.queue, &args).await?;
            all.extend(reply.found.into_iter().filter_map(StoredRow::read).map(|stored| (stored.id, stored)));
            cursor = reply.cursor;
            if cursor == "0" {
                return Ok(all.into_values().collect());
            }
        }
    }
}
