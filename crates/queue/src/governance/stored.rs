//! What is stored, as definitions.

use hermod_types::governance::{
    Budget, Customer, Definitions, Kind, ModelConfig, PricingOverride, ProviderLimits, RateLimit, Team,
    ValueHash, VirtualKey,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoredDefinitions;

/// How the names of values begin that were made for virtual keys of the file.
const MADE: &str = "made_values";

/// Something that is defined, by an id among its kind.
pub trait Defined: Clone + Serialize + DeserializeOwned + 'static {
    const KIND: Kind;

    fn id(&self) -> &str;

    fn list(all: &Definitions) -> &Vec<Self>;

    fn list_mut(all: &mut Definitions) -> &mut Vec<Self>;
}

macro_rules! defined {
    ($($type:ident, $kind:ident, $list:ident, $id:ident;)*) => {
        $(impl Defined for $type {
            const KIND: Kind = Kind::$kind;

            fn id(&self) -> &str {
                &self.$id
            }

            fn list(all: &Definitions) -> &Vec<Self> {
                &all.$list
            }

            fn list_mut(all: &mut Definitions) -> &mut Vec<Self> {
                &mut all.$list
            }
        })*

        /// Adds what a row defines.
        fn add(all: &mut Definitions, kind: &str, id: &str, row: &str) -> Result<(), serde_json::Error> {
            $(if kind == Kind::$kind.as_str() {
                let one: $type = serde_json::from_str(row)?;
                if one.id() == id {
                    all.$list.push(one);
                }
                return Ok(());
            })*
            Ok(())
        }
    };
}

defined! {
    VirtualKey, VirtualKeys, virtual_keys, id;
    Team, Teams, teams, id;
    Customer, Customers, customers, id;
    Budget, Budgets, budgets, id;
    RateLimit, RateLimits, rate_limits, id;
    ModelConfig, ModelConfigs, model_configs, id;
    ProviderLimits, Providers, providers, name;
    PricingOverride, PricingOverrides, pricing_overrides, id;
}

/// The value that was made for a virtual key of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MadeValue {
    pub sha256: ValueHash,
    pub last4: String,
    /// Encrypted; none where it was printed when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What a definition is stored under.
pub fn name_of(kind: Kind, id: &str) -> String {
    format!("{}/{id}", kind.as_str())
}

/// What the value is stored under that was made for a key of the file.
pub fn name_of_made(key: &str) -> String {
    format!("{MADE}/{key}")
}

impl StoredDefinitions {
    /// What was defined over HTTP. What cannot be read is left out: it is a later version's, or somebody else's writing.
    pub fn definitions(&self) -> Definitions {
        let mut all = Definitions::default();
        for (name, row) in &self.rows {
            let Some((kind, id)) = name.split_once('/') else { continue };
            if let Err(error) = add(&mut all, kind, id, row) {
                tracing::warn!(name, %error, "a stored definition cannot be read, and is passed over");
            }
        }
        // In the order in which they were made.
        all.virtual_keys.sort_by_key(|key| key.created_at.map(|at| at.as_millis()));
        all
    }

    /// Those of the file, with the values that were made for its keys, and beside them those that were defined over HTTP.
    pub fn beside(&self, file: &Definitions) -> Definitions {
        let mut all = file.with_stored(self.definitions());
        let of_file = file.virtual_keys.len();
        for key in all.virtual_keys.iter_mut().take(of_file).filter(|key| key.value_sha256.is_none()) {
            let row = self.rows.get(&name_of_made(&key.id));
            if let Some(made) = row.and_then(|row| serde_json::from_str::<MadeValue>(row).ok()) {
                key.value_sha256 = Some(made.sha256);
                key.value_last4 = made.last4;
                key.value_sealed = made.sealed;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stored(rows: &[(&str, &str)]) -> StoredDefinitions {
        let rows = rows.iter().map(|(name, row)| ((*name).to_owned(), (*row).to_owned()));
        StoredDefinitions { version: Some("1".to_owned()), rows: BTreeMap::from_iter(rows) }
    }

    #[test]
    fn rows_become_definitions_and_what_is_none_is_passed_over() {
        let all = stored(&[
            ("teams/t-1", r#"{"id":"t-1","name":"one","of_a_later_version":1}"#),
            ("teams/t-2", r#"{"id":"another","name":"two"}"#),
            ("teams/t-3", "no JSON"),
            ("things/x", "{}"),
            ("else", "{}"),
            ("budgets/b", r#"{"id":"b","max_limit":1.5,"reset_duration":"1d","team_id":"t-1"}"#),
        ])
        .definitions();
        assert_eq!(all.teams.iter().map(|team| team.id.as_str()).collect::<Vec<_>>(), ["t-1"]);
        assert_eq!(all.budgets[0].max_limit.as_dollars(), 1.5);
    }

    #[test]
    fn a_made_value_is_that_of_the_files_key_only() {
        let mut file = Definitions::default();
        file.virtual_keys.push(VirtualKey::new("made"));
        let mut given = VirtualKey::new("given");
        given.set_value(&"sk-bf-given-0000".into());
        file.virtual_keys.push(given);
        let hash = ValueHash::of("sk-bf-made-1234");
        let made = serde_json::to_string(&MadeValue { sha256: hash, last4: "1234".to_owned(), sealed: None });
        let made = made.unwrap();
        let all = stored(&[("made_values/made", &made), ("made_values/given", &made)]).beside(&file);
        assert_eq!(all.virtual_keys[0].value_sha256, Some(hash));
        assert_eq!(all.virtual_keys[1].value_sha256, Some(ValueHash::of("sk-bf-given-0000")));
    }
}
