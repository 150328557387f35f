use hermod_types::webhook::Hook;
use hermod_types::{JobId, Timestamp};
use serde::Serialize;

use crate::record::StoredRequest;
use crate::script::{self, SCRIPTS};
use crate::{Lane, Payload, QueueError, Store, keys};

/// What a receiver is to be told: the end of a job. The script that ends the job writes it, see `lua/ending.lua`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The job that has ended.
    pub job: JobId,
    /// 200, or the code of what failed it.
    pub code: u16,
    pub completed: Timestamp,
    /// When its record goes.
    pub expires: Timestamp,
    pub is_cancelled: bool,
    /// Who is told, and what its submit said.
    pub hook: Hook,
}

#[derive(Serialize)]
struct RedeliverArgs<'a> {
    id: String,
    request: &'a str,
}

impl Delivery {
    /// The `request` of its record.
    pub fn to_stored(&self) -> String {
        let Self { job, code, completed, expires, is_cancelled, hook } = self;
        let (completed, expires) = (completed.as_millis(), expires.as_millis());
        // Strings have no way to fail to be written to memory.
        let hook = serde_json::to_string(hook).unwrap_or_default();
        format!("{job} {code} {completed} {expires} {}\n{hook}", u8::from(*is_cancelled))
    }

    /// Reads the `request` of its record; none where it is no such thing.
    pub fn parse(stored: &str) -> Option<Self> {
        let (line, hook) = stored.split_once('\n')?;
        let mut fields = line.split(' ');
        let delivery = Self {
            job: fields.next()?.parse().ok()?,
            code: fields.next()?.parse().ok()?,
            completed: Timestamp::from_millis(fields.next()?.parse().ok()?),
            expires: Timestamp::from_millis(fields.next()?.parse().ok()?),
            is_cancelled: fields.next()? == "1",
            hook: serde_json::from_str(hook).ok()?,
        };
        fields.next().is_none().then_some(delivery)
    }

    /// Queues it under this id, its attempts counted from 1. False where a delivery with this id is under way.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn queue(&self, id: JobId, store: &Store) -> Result<bool, QueueError> {
        let args = RedeliverArgs { id: id.to_string(), request: &self.to_stored() };
        script::run(store.shared(), &SCRIPTS.redeliver, &keys::queue(id.shard()), &args).await
    }
}

impl Payload for Delivery {
    const LANE: Lane = Lane::Deliveries;

    fn from_stored(stored: &str, _: Option<String>) -> Option<StoredRequest<Self>> {
        let request = Self::parse(stored)?;
        Some(StoredRequest { request, body_apart: None, media_bytes: 0, counted_bytes: 0, start: None })
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::webhook::{EndpointId, Receiver, Style};
    use hermod_types::{Operation, Shard};

    use super::*;

    #[test]
    fn a_delivery_comes_back_as_it_went_in() {
        let delivery = Delivery {
            job: JobId::new(Shard::default()),
            code: 499,
            completed: Timestamp::from_millis(1_000),
            expires: Timestamp::from_millis(2_000),
            is_cancelled: true,
            hook: Hook {
                receiver: Receiver::Endpoint { endpoint: EndpointId::random() },
                request_id: "r \n1".to_owned(),
                operation: Operation::Responses,
                model: "a/b c".to_owned(),
                style: Style::OpenAi,
                trace: None,
            },
        };
        let stored = delivery.to_stored();
        assert_eq!(Delivery::parse(&stored), Some(delivery));
        for damaged in ["", "x", &stored.replacen(' ', "", 1), &stored.replacen(" 1\n", " 1 2\n", 1)] {
            assert_eq!(Delivery::parse(damaged), None, "{damaged}");
        }
    }
}
