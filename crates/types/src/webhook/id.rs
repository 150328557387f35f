use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::Receiver;
use crate::JobId;

/// What the ids of endpoints of `config.json` are derived in.
const FILE_ENDPOINTS: Uuid = Uuid::from_u128(0x6f0d_9a5e_3c1b_4d57_8e2a_71c4_b90f_55d3);

/// What the ids are derived in under which addresses that submits name have their history.
const ADDRESSES: Uuid = Uuid::from_u128(0x2c9d_84f0_51be_4a63_9d17_e0a8_6b42_c7f1);

/// An endpoint's id: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(#[serde(with = "hyphenated")] Uuid);

/// Why a string is no [`EndpointId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint's id is a UUID in its 8-4-4-4-12 form")]
pub struct InvalidEndpointId;

impl EndpointId {
    /// A fresh one.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// That of the endpoint with this name in `config.json`: the same in each process, and after each start.
    pub fn of_file(name: &str) -> Self {
        Self(Uuid::new_v5(&FILE_ENDPOINTS, name.as_bytes()))
    }

    /// Whether its endpoint was made over HTTP, and its definition is in Redis.
    pub fn is_registered(self) -> bool {
        self.0.get_version_num() == 7
    }
}

impl Receiver {
    /// The endpoint's id. All addresses of one origin that submits of one virtual key name share an id, so that there are no
    /// more of these than an operator allows.
    pub fn endpoint_id(&self) -> EndpointId {
        match self {
            Self::Endpoint { endpoint } => *endpoint,
            Self::Url { url, owner } => {
                let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
                let name = format!("{} {owner}", origin.as_deref().unwrap_or(url));
                EndpointId(Uuid::new_v5(&ADDRESSES, name.as_bytes()))
            }
        }
    }
}

impl FromStr for EndpointId {
    type Err = InvalidEndpointId;

    fn from_str(text: &str) -> Result<Self, InvalidEndpointId> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidEndpointId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidEndpointId)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(out)
    }
}

/// The id of what tells `receiver` of the end of `job`: its `webhook-id`, and the id of its record, which is in the
/// job's shard.
///
/// It follows from the two, so that a job that runs twice tells its receiver the same id.
pub fn delivery_id(job: JobId, receiver: &Receiver) -> JobId {
    let name = match receiver {
        Receiver::Endpoint { endpoint } => format!("endpoint {endpoint}"),
        Receiver::Url { url, .. } => format!("url {url}"),
    };
    job.derive(&name)
}

mod hyphenated {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&id.as_hyphenated())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Uuid::try_parse(&text).map_err(|_| de::Error::custom("not a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_origin_and_key_have_one_history() {
        let id =
            |url: &str, owner: &str| Receiver::Url { url: url.into(), owner: owner.into() }.endpoint_id();
        let first = id("https://a.example/1", "vk");
        assert_eq!(id("https://A.example:443/2?x=y", "vk"), first);
        for other in [id("https://a.example/1", "other"), id("https://a.example:8443/1", "vk")] {
            assert_ne!(other, first);
        }
    }
}
