//! That the page about providers says what the tables of the code say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;

use hermod_types::config::{ProviderKind, Support};
use hermod_types::{Config, Operation};

fn documentation() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROVIDERS.md");
    std::fs::read_to_string(page).unwrap()
}

/// The row of a kind in a table below a heading.
fn row_of<'p>(page: &'p str, heading: &str, kind: ProviderKind) -> &'p str {
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let begins = format!("| `{kind}` | ");
    let row =
        section.lines().take_while(|line| !line.starts_with("## ")).find(|line| line.starts_with(&begins));
    assert!(row.is_some(), "{heading} has no row of {kind}");
    row.unwrap()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_documentation_says_who_serves_what() {
    let page = documentation();
    let heading = page.lines().find(|line| line.starts_with("| provider | `completions` |")).unwrap();
    let columns: Vec<_> = cells(heading).iter().skip(1).map(|path| path.trim_matches('`')).collect();
    assert_eq!(columns, Operation::all().map(Operation::path).collect::<Vec<_>>());
    for kind in ProviderKind::all() {
        let row = cells(row_of(&page, "Who serves what", kind));
        for (operation, said) in Operation::all().zip(row.iter().skip(1)) {
            let expected: &[&str] = match (kind.support(operation), operation) {
                (Support::Absent, _) => &["–"],
                (Support::Native, _) => &["native"],
                (Support::Converted, Operation::TextCompletion) => &["chat", "converted"],
                (Support::Converted, Operation::Responses | Operation::Messages) => &["chat"],
                (Support::Converted, _) => &["converted"],
            };
            assert!(expected.contains(said), "{kind}: {operation}: {said}, and not {expected:?}");
        }
        assert_eq!(row.len(), columns.len() + 1, "{kind}");
    }
}

#[test]
fn the_documentation_has_each_kind_with_its_defaults() {
    let page = documentation();
    for kind in ProviderKind::all() {
        let row = cells(row_of(&page, "Addresses and keys", kind));
        let (address, variable) = (row.get(1).unwrap(), row.get(3).unwrap());
        let has = |cell: &str, says: Option<&str>| match says {
            Some(says) => cell.contains(&format!("`{says}`")),
            None => cell.is_empty(),
        };
        assert!(has(address, kind.base_url()), "{kind}: {address}");
        assert!(has(variable, kind.key_variable()), "{kind}: {variable}");
    }
}

#[test]
fn the_documented_configuration_loads() {
    let page = documentation();
    let example = page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = Config::from_json(example, &|_| Some("https://set".to_owned())).unwrap();
    assert_eq!((config.providers.len(), config.ignored.len()), (5, 0), "{:?}", config.ignored);
}
