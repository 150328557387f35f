use super::*;

fn row() -> Row {
    Row {
        holder: Some("1".to_owned()),
        owner: Some("vk-1".to_owned()),
        operation: None,
        code: Some(200),
        outcome: None,
        completed: Some(1_000),
        expires: Some(2_000),
        apart: None,
        media: None,
        cancel: None,
        model: None,
        entry: None,
    }
}

fn new_id() -> JobId {
    JobId::new(Shard::default())
}

#[test]
fn a_large_outcome_fits_between_head_and_tail() {
    let id = new_id();
    let inline = Row { outcome: Some(r#"{"n":1}"#.to_owned()), ..row() }.record(id).unwrap().unwrap();
    let stored = Row { apart: Some("t 7".to_owned()), ..row() }.record(id).unwrap().unwrap();
    assert_eq!(stored.owner.as_deref(), Some("vk-1"));
    assert!(matches!(inline.outcome(), Some(OutcomeRef::Inline(r#"{"n":1}"#))));
    assert!(matches!(stored.outcome(), Some(OutcomeRef::Stored(outcome)) if outcome.bytes == 7));
    let (JobJson::Whole(whole), JobJson::Around { head, outcome, tail }) =
        (inline.into_json(), stored.into_json())
    else {
        panic!("the size decides")
    };
    assert_eq!(format!("{head}{{\"n\":1}}{tail}"), whole);
    assert_eq!((outcome.bytes, outcome.key.ends_with(":t")), (7, true));
}

#[test]
fn an_ended_job_without_a_readable_outcome_is_damaged() {
    for apart in [None, Some("t"), Some("t x")] {
        let row = Row { apart: apart.map(str::to_owned), ..row() };
        assert!(row.record(new_id()).is_err(), "{apart:?}");
    }
}

#[test]
fn a_record_says_what_it_calls() {
    let of = |name: Option<&str>| {
        let row = Row { code: None, operation: name.map(str::to_owned), ..row() };
        row.record(new_id()).ok().flatten().map(|record| record.operation)
    };
    assert_eq!(of(None), Some(Operation::TextCompletion));
    assert_eq!(of(Some("ocr")), Some(Operation::Ocr));
    assert_eq!(of(Some("unheard")), None);
}
