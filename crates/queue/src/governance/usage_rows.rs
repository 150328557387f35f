use std::collections::BTreeMap;

use crate::connection::Call;
use crate::{QueueError, Store, keys};

/// Fields of one read.
const PAGE: usize = 1000;

/// What was used, by day, owner and model. Cheap to clone.
#[derive(Clone)]
pub struct UsageRows(Store);

/// What an owner has used of a model on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The id of a virtual key; '' for jobs without one.
    pub owner: String,
    /// `provider/model`; '' for jobs without a call.
    pub model: String,
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// In billionths of a dollar.
    pub cost: u64,
    /// Calls to models without a price.
    pub unpriced_calls: u64,
    /// Calls of which nobody knows what they have used.
    pub unknown_calls: u64,
}

impl UsageRows {
    pub fn new(store: &Store) -> Self {
        Self(store.clone())
    }

    /// The requests of an owner since it was made, and its calls without a price and of unknown usage; of all models.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn total(&self, owner: &str) -> Result<UsageRow, QueueError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::totals(owner));
        let found: Vec<(String, String)> = self.0.shared().run(Call::Command(&command)).await?;
        let mut row = UsageRow { owner: owner.to_owned(), ..UsageRow::default() };
        for (field, value) in &found {
            row.set(field, value);
        }
        Ok(row)
    }

    /// Forgets what was used of limits that nobody has any more, and by owners that are gone. Rows by day stay.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn forget(&self, limits: &[String], owners: &[String]) -> Result<(), QueueError> {
        if limits.is_empty() && owners.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("UNLINK");
        command.arg(limits.iter().map(|name| keys::limit(name)).collect::<Vec<_>>());
        command.arg(owners.iter().map(|owner| keys::totals(owner)).collect::<Vec<_>>());
        self.0.shared().run(Call::Command(&command)).await
    }

    /// What was used on a day, `20300131` in UTC, by all or by one owner; by owner, then by model.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn of_day(&self, day: &str, owner: Option<&str>) -> Result<Vec<UsageRow>, QueueError> {
        let key = keys::usage(day);
        let pattern = owner.map(|owner| format!("{}\n*", escaped(owner)));
        let (mut rows, mut cursor) = (BTreeMap::new(), 0_u64);
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(&key).arg(cursor);
            if let Some(pattern) = &pattern {
                command.arg("MATCH").arg(pattern);
            }
            command.arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<(String, String)>) =
                self.0.shared().run(Call::Command(&command)).await?;
            for (field, value) in &found {
                note(&mut rows, field, value);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(rows.into_values().collect());
            }
        }
    }
}

/// Adds a field to the row that it is of. What is no field of ours is passed over.
fn note(rows: &mut BTreeMap<(String, String), UsageRow>, field: &str, value: &str) {
    let mut parts = field.splitn(3, '\n');
    let (Some(owner), Some(model), Some(field)) = (parts.next(), parts.next(), parts.next()) else { return };
    let row = rows.entry((owner.to_owned(), model.to_owned())).or_insert_with(|| UsageRow {
        owner: owner.to_owned(),
        model: model.to_owned(),
        ..UsageRow::default()
    });
    row.set(field, value);
}

impl UsageRow {
    /// What is no field of ours is passed over.
    fn set(&mut self, field: &str, value: &str) {
        let Ok(value) = value.parse() else { return };
        match field {
            "requests" => self.requests = value,
            "input_tokens" => self.input_tokens = value,
            "output_tokens" => self.output_tokens = value,
            "cost" => self.cost = value,
            "unpriced_calls" => self.unpriced_calls = value,
            "unknown_calls" => self.unknown_calls = value,
            _ => {}
        }
    }
}

/// A text as a pattern that matches it only.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_rows() {
        let mut rows = BTreeMap::new();
        for (field, value) in [
            ("vk-1\nopenai/gpt-4o\nrequests", "2"),
            ("vk-1\nopenai/gpt-4o\ncost", "1500"),
            ("\nopenai/gpt-4o\nrequests", "7"),
            ("vk-1\nopenai/gpt-4o\nlater", "9"),
            ("vk-1\nopenai/gpt-4o\ninput_tokens", "x"),
            ("else", "1"),
        ] {
            note(&mut rows, field, value);
        }
        let rows: Vec<_> = rows.into_values().collect();
        let model = || "openai/gpt-4o".to_owned();
        assert_eq!(
            rows,
            [
                UsageRow { model: model(), requests: 7, ..UsageRow::default() },
                UsageRow {
                    owner: "vk-1".to_owned(),
                    model: model(),
                    requests: 2,
                    cost: 1500,
                    ..UsageRow::default()
                },
            ]
        );
    }

    #[test]
    fn an_owner_is_no_pattern() {
        assert_eq!(escaped("team-1"), "team-1");
        assert_eq!(escaped("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\");
    }
}
