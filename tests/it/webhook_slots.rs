//! Slots, counters and history of the receivers of webhooks: exact over all processes, whatever is sent twice or too late.

use std::time::{Duration, Instant};

use hermod_queue::Store;
use hermod_queue::webhooks::{
    Attempt, AttemptEnd, Begun, Filter, MOST_ENDPOINTS, Put, Recorded, Registration, RowId, StatusClass,
    Webhooks,
};
use hermod_tests::{Cluster, PATIENCE, Servers, eventually};
use hermod_types::webhook::{DisabledReason, EndpointId, Event, Outcome};
use hermod_types::{JobId, Shard, Timestamp};
use redis::Commands;

const LEASE: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(24 * 3600);

struct Receivers {
    cluster: Cluster,
    webhooks: Webhooks,
    /// A second process's.
    others: Webhooks,
}

impl Receivers {
    async fn start(servers: Servers) -> Self {
        let cluster = Cluster::builder().servers(servers).workers(0).start().await;
        let store = || Store::new(&cluster.redis_url().parse().unwrap()).unwrap();
        let (webhooks, others) = (Webhooks::new(&store()), Webhooks::new(&store()));
        Self { cluster, webhooks, others }
    }

    /// Registers one with this many slots.
    async fn register(&self, slots: u32) -> EndpointId {
        let id = EndpointId::random();
        let (name, definition) =
            (id.to_string(), format!(r#"{{"name":"{id}","max_concurrent_deliveries":{slots}}}"#));
        assert_eq!(self.webhooks.create(id, &name, &definition).await.unwrap(), Put::Done);
        id
    }

    async fn begin(&self, attempt: Attempt) -> Begun {
        self.webhooks.begin(attempt, Registration::Registered, LEASE).await.unwrap()
    }

    async fn end(&self, attempt: Attempt, outcome: Outcome) -> Recorded {
        self.others.end(&end(attempt, outcome)).await.unwrap()
    }
}

fn attempt(endpoint: EndpointId) -> Attempt {
    Attempt { endpoint, delivery: JobId::new(Shard::default()), fence: 1 }
}

fn end(attempt: Attempt, outcome: Outcome) -> AttemptEnd<'static> {
    AttemptEnd {
        attempt,
        registration: Registration::Registered,
        attempt_no: 1,
        job: attempt.delivery,
        request_id: "request",
        event: Event::Completed,
        outcome,
        status_code: if outcome == Outcome::Delivered { 204 } else { 500 },
        error: "",
        took: Some(Duration::from_millis(100)),
        wants_no_more: false,
        request: "what a redelivery needs",
        retention: RETENTION,
    }
}

/// What is recorded from now on is later than what was.
pub(crate) async fn a_millisecond() -> Timestamp {
    let before = Timestamp::now();
    eventually("a millisecond is over", PATIENCE, async || {
        let now = Timestamp::now();
        (now > before).then_some(now)
    })
    .await
}

const fn is_go(begun: &Begun) -> bool {
    matches!(begun, Begun::Go { .. })
}

#[tokio::test]
async fn a_receiver_has_so_many_slots_over_all_processes() {
    for servers in [Servers::One, Servers::Cluster] {
        let receivers = Receivers::start(servers).await;
        let endpoint = receivers.register(2).await;
        let (one, two, three) = (attempt(endpoint), attempt(endpoint), attempt(endpoint));
        let begun = receivers.begin(one).await;
        let Begun::Go { definition, .. } = &begun else { panic!("{begun:?}") };
        assert!(definition.as_ref().unwrap().contains("max_concurrent_deliveries"));
        let other = receivers.others.begin(two, Registration::Registered, LEASE).await.unwrap();
        assert!(is_go(&other));
        assert!(is_go(&receivers.begin(one).await), "one that is sent twice takes one slot");

        // Those that find none come back one after another. An attempt is taken for one second until one has been seen: so a
        // slot becomes free each half of it.
        let mut told = Vec::new();
        for _ in 0..20 {
            let sent = Instant::now();
            let Begun::Busy { retry_in } = receivers.begin(attempt(endpoint)).await else { panic!() };
            told.push((sent + retry_in, Instant::now() + retry_in));
        }
        let half = Duration::from_millis(499);
        assert!(told.windows(2).all(|two| two[1].1 >= two[0].0 + half), "{told:?}");
        assert!(told[19].0 <= told[0].1 + Duration::from_secs(10), "{told:?}");
        for _ in 0..200 {
            let Begun::Busy { retry_in } = receivers.begin(attempt(endpoint)).await else { panic!() };
            assert!(retry_in <= Duration::from_secs(60));
        }

        let ended = receivers.end(one, Outcome::Delivered).await;
        assert_eq!(ended, Recorded { is_new: true, disabled: None });
        assert!(is_go(&receivers.begin(three).await), "a slot is free");
        assert!(!receivers.end(one, Outcome::Delivered).await.is_new, "it is recorded once");
        assert!(!is_go(&receivers.begin(attempt(endpoint)).await), "and frees one slot");
        let page = receivers.webhooks.history(endpoint, 0, 10, RETENTION).await.unwrap();
        assert_eq!((page.total, page.rows.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_slot_whose_holder_died_is_free_after_its_lease_and_a_late_end_is_recorded() {
    let receivers = Receivers::start(Servers::One).await;
    let endpoint = receivers.register(1).await;
    let (dead, next) = (attempt(endpoint), attempt(endpoint));
    let lease = Duration::from_millis(300);
    assert!(is_go(&receivers.webhooks.begin(dead, Registration::Registered, lease).await.unwrap()));
    eventually("the lease is over", PATIENCE, async || is_go(&receivers.begin(next).await).then_some(()))
        .await;
    assert!(receivers.end(dead, Outcome::Exhausted).await.is_new);
    assert!(!receivers.end(dead, Outcome::Exhausted).await.is_new);
    assert!(!is_go(&receivers.begin(attempt(endpoint)).await), "the slot of the other was not freed");

    // Who renews keeps it.
    assert_eq!(receivers.webhooks.renew(&[next, dead], LEASE).await.unwrap(), 1);
    assert_eq!(receivers.webhooks.renew(&[], LEASE).await.unwrap(), 0);
}

#[tokio::test]
async fn the_same_delivery_begun_anew_is_another_attempt() {
    let receivers = Receivers::start(Servers::One).await;
    let endpoint = receivers.register(1).await;
    let first = attempt(endpoint);
    receivers.begin(first).await;
    assert!(receivers.end(first, Outcome::Exhausted).await.is_new);
    // Asked for anew, its attempts count from 1 again; its fence does not.
    let again = Attempt { fence: 2, ..first };
    assert!(is_go(&receivers.begin(again).await));
    assert!(receivers.end(again, Outcome::Delivered).await.is_new);
    // Redis may have lost that it was under way.
    let lost = Attempt { fence: 3, ..first };
    assert!(receivers.end(lost, Outcome::Delivered).await.is_new);
    assert!(!receivers.end(lost, Outcome::Delivered).await.is_new);
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_or_has_failed_for_five_days_is_disabled() {
    let receivers = Receivers::start(Servers::One).await;
    let mut redis = receivers.cluster.connect();
    let gone = receivers.register(1).await;
    let one = attempt(gone);
    receivers.begin(one).await;
    let mut last = end(one, Outcome::PermanentFailure);
    (last.wants_no_more, last.status_code) = (true, 410);
    assert_eq!(receivers.webhooks.end(&last).await.unwrap().disabled, Some(DisabledReason::Gone));
    let begun = receivers.begin(attempt(gone)).await;
    assert!(
        matches!(begun, Begun::Disabled { reason: Some(DisabledReason::Gone), .. }),
        "every process knows it: {begun:?}"
    );
    assert!(receivers.others.enable(gone).await.unwrap());
    assert!(!receivers.others.enable(gone).await.unwrap());
    assert!(is_go(&receivers.begin(attempt(gone)).await));

    let failing = receivers.register(100).await;
    let fail = async || {
        let attempt = attempt(failing);
        assert!(is_go(&receivers.begin(attempt).await));
        receivers.end(attempt, Outcome::RetryableFailure).await.disabled
    };
    for _ in 0..12 {
        assert_eq!(fail().await, None, "however often it fails within five days");
    }
    let days = |days: u64| Timestamp::now().as_millis() - days * 24 * 3600 * 1000;
    let state = format!("{{hermod:0}}:webhook:{failing}");
    let success = attempt(failing);
    receivers.begin(success).await;
    receivers.end(success, Outcome::Delivered).await;
    for _ in 0..9 {
        assert_eq!(fail().await, None);
        let _: () = redis.hset(&state, "failing_since", days(6)).unwrap();
    }
    assert_eq!(fail().await, Some(DisabledReason::Failing), "the tenth failure since the last success");
    let known = receivers.others.find(failing).await.unwrap().state;
    assert_eq!(known.disabled_reason, Some(DisabledReason::Failing));
    assert_eq!(known.consecutive_failures, 10);
    assert!(known.last_success_at.unwrap() <= known.last_failure_at.unwrap());

    // What is sent to an address that a submit has named disables nothing.
    let address = Registration::Address { slots: 1 };
    let one = attempt(EndpointId::random());
    assert!(is_go(&receivers.webhooks.begin(one, address, LEASE).await.unwrap()));
    let mut last = end(one, Outcome::PermanentFailure);
    (last.wants_no_more, last.registration) = (true, address);
    assert_eq!(receivers.webhooks.end(&last).await.unwrap(), Recorded { is_new: true, disabled: None });
    assert!(is_go(&receivers.webhooks.begin(one, address, LEASE).await.unwrap()));
}

#[tokio::test]
async fn what_is_deleted_or_disabled_is_recorded_and_counts_for_nothing() {
    let receivers = Receivers::start(Servers::One).await;
    let endpoint = receivers.register(1).await;
    let was = receivers.webhooks.find(endpoint).await.unwrap().definition.unwrap();
    let now = was.replace("{\"name\"", "{\"disabled\":true,\"name\"");
    let name = endpoint.to_string();
    assert_eq!(receivers.others.replace(endpoint, &was, &name, &now).await.unwrap(), Put::Done);
    assert_eq!(receivers.others.replace(endpoint, &was, "x", "{}").await.unwrap(), Put::Changed);
    let one = attempt(endpoint);
    assert!(matches!(receivers.begin(one).await, Begun::Disabled { reason: None, .. }));
    let mut nothing = end(one, Outcome::PermanentFailure);
    (nothing.took, nothing.status_code) = (None, 0);
    assert!(receivers.webhooks.end(&nothing).await.unwrap().is_new);
    assert_eq!(receivers.webhooks.find(endpoint).await.unwrap().state.consecutive_failures, 0);

    assert!(receivers.others.remove(endpoint).await.unwrap());
    assert!(!receivers.others.remove(endpoint).await.unwrap());
    assert!(receivers.webhooks.find_named(&name).await.unwrap().is_none());
    let two = attempt(endpoint);
    assert_eq!(receivers.begin(two).await, Begun::Gone);
    assert!(receivers.end(two, Outcome::PermanentFailure).await.is_new);
    let mut redis = receivers.cluster.connect();
    assert!(!redis.exists::<_, bool>(format!("{{hermod:0}}:webhook:{endpoint}")).unwrap());
    assert_eq!(receivers.webhooks.history(endpoint, 0, 10, RETENTION).await.unwrap().total, 2);
    receivers.cluster.assert_drained().await;
}

#[tokio::test]
async fn a_name_is_that_of_one_receiver() {
    let receivers = Receivers::start(Servers::One).await;
    let (one, other) = (EndpointId::random(), EndpointId::random());
    let definition = |name: &str| format!(r#"{{"name":"{name}"}}"#);
    let create = async |id, name: &str| receivers.webhooks.create(id, name, &definition(name)).await.unwrap();
    assert_eq!(create(one, "a").await, Put::Done);
    assert_eq!(create(one, "a").await, Put::Done, "sent twice");
    assert_eq!(create(other, "a").await, Put::Taken);
    assert_eq!(create(other, "b").await, Put::Done);
    let rename = receivers.others.replace(other, &definition("b"), "a", &definition("a")).await;
    assert_eq!(rename.unwrap(), Put::Taken);
    let rename = receivers.others.replace(one, &definition("a"), "c", &definition("c")).await;
    assert_eq!(rename.unwrap(), Put::Done);
    assert!(receivers.webhooks.find_named("a").await.unwrap().is_none(), "its old name is free");
    assert_eq!(receivers.webhooks.find_named("c").await.unwrap().unwrap().id, one);
    let unknown = receivers.others.replace(EndpointId::random(), "{}", "x", "{}").await;
    assert_eq!(unknown.unwrap(), Put::Unknown);
    // There are no more than a list can show.
    let others: Vec<_> = (2..MOST_ENDPOINTS).map(|number| (number.to_string(), "{}")).collect();
    let mut redis = receivers.cluster.connect();
    let _: () = redis.hset_multiple("{hermod:0}:webhooks", &others).unwrap();
    assert_eq!(create(EndpointId::random(), "d").await, Put::Full);
    let _: () = redis.hdel("{hermod:0}:webhooks", "2").unwrap();
    assert_eq!(create(EndpointId::random(), "d").await, Put::Done);
    let ids: Vec<_> = receivers.webhooks.registered().await.unwrap().iter().map(|is| is.id).collect();
    assert_eq!(ids[..2], [one, other], "the oldest first, without what is none of ours");
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn the_history_is_bounded_in_number_and_age_and_read_in_pages() {
    let receivers = Receivers::start(Servers::One).await;
    let endpoint = receivers.register(1).await;
    let mut deliveries = Vec::new();
    // More than one call reads.
    for number in 0..1200 {
        let attempt = attempt(endpoint);
        deliveries.push(attempt.delivery);
        let mut row = end(attempt, Outcome::Delivered);
        let error = format!("{number}{}", "x".repeat(2000));
        row.error = &error;
        receivers.webhooks.end(&row).await.unwrap();
    }
    deliveries.reverse();
    for (offset, limit) in [(0, 10), (490, 30), (499, 2), (1100, 200), (1200, 10), (5000, 1), (0, 0)] {
        let page = receivers.webhooks.history(endpoint, offset, limit, RETENTION).await.unwrap();
        let ids: Vec<_> = page.rows.iter().map(|row| row.webhook_id).collect();
        let expected = deliveries.iter().copied().skip(offset).take(limit).collect::<Vec<_>>();
        assert_eq!((page.total, ids), (1200, expected), "{offset} {limit}");
    }
    let page = receivers.webhooks.history(endpoint, 0, 1, RETENTION).await.unwrap();
    assert_eq!(page.rows[0].error.len(), 1024);
    let found = receivers.webhooks.search(&Filter::default(), 1199, 9, RETENTION).await.unwrap();
    assert_eq!((found.deliveries, found.rows.len(), found.is_partial), (1200, 1, false));
    let lives = page.rows[0].expires_at.as_millis() - page.rows[0].created_at.as_millis();
    assert_eq!(u128::from(lives), RETENTION.as_millis());

    // At most 10,000 are kept.
    let mut redis = receivers.cluster.connect();
    let history = format!("{{hermod:0}}:webhook_attempts:{endpoint}");
    let mut filler = redis::pipe();
    for _ in 0..9000 {
        filler.xadd(&history, "*", &[("attempt", "x")]).ignore();
    }
    let _: () = filler.query(&mut redis).unwrap();
    let newest = attempt(endpoint);
    receivers.webhooks.end(&end(newest, Outcome::Delivered)).await.unwrap();
    assert_eq!(redis.xlen::<_, usize>(&history).unwrap(), 10_000);
    // What is somebody else's writing is passed over.
    let page = receivers.webhooks.history(endpoint, 0, 100, RETENTION).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].webhook_id), (100, newest.delivery));
    assert_eq!(page.rows[1].webhook_id, deliveries[0]);
    let found = receivers.webhooks.search(&Filter::default(), 0, 1, RETENTION).await.unwrap();
    assert_eq!((found.deliveries, found.rows[0].webhook_id), (1000, newest.delivery));
    assert!(redis.pttl::<_, i64>(&history).unwrap() > 0);

    // And none for longer than is asked for.
    let none = receivers.webhooks.history(endpoint, 0, 10, Duration::ZERO).await.unwrap();
    assert_eq!((none.total, none.rows.len()), (0, 0));
}

#[tokio::test]
async fn deliveries_are_found_with_all_their_attempts() {
    let receivers = Receivers::start(Servers::One).await;
    let (one, other) = (receivers.register(9).await, receivers.register(9).await);
    let record = async |attempt: Attempt, attempt_no, outcome, event, request_id, status_code| {
        let row = AttemptEnd { attempt_no, event, request_id, status_code, ..end(attempt, outcome) };
        assert!(receivers.webhooks.end(&row).await.unwrap().is_new);
    };
    let exhausted = attempt(one);
    record(exhausted, 1, Outcome::RetryableFailure, Event::Failed, "r1", 503).await;
    let delivered = attempt(other);
    record(delivered, 1, Outcome::RetryableFailure, Event::Completed, "r2", 0).await;
    let between = Timestamp::now();
    a_millisecond().await;
    record(Attempt { fence: 2, ..exhausted }, 2, Outcome::Exhausted, Event::Failed, "r1", 503).await;
    a_millisecond().await;
    record(Attempt { fence: 2, ..delivered }, 2, Outcome::Delivered, Event::Completed, "r2", 200).await;
    a_millisecond().await;
    let permanent = attempt(one);
    record(permanent, 1, Outcome::PermanentFailure, Event::Completed, "r3", 404).await;

    let search = async |filter: Filter, offset, limit| {
        let found = receivers.others.search(&filter, offset, limit, RETENTION).await.unwrap();
        assert!(!found.is_partial);
        let rows: Vec<_> = found.rows.iter().map(|row| (row.webhook_id, row.attempt_no)).collect();
        (found.deliveries, rows)
    };
    let (a, b, c) = (exhausted.delivery, delivered.delivery, permanent.delivery);
    let all = vec![(c, 1), (b, 2), (b, 1), (a, 2), (a, 1)];
    assert_eq!(search(Filter::default(), 0, 10).await, (3, all));
    assert_eq!(search(Filter::default(), 1, 1).await, (3, vec![(b, 2), (b, 1)]));
    assert_eq!(search(Filter::default(), 3, 1).await, (3, vec![]));
    let of_a = || vec![(a, 2), (a, 1)];
    for (filter, expected) in [
        (Filter { endpoints: vec![other], ..Filter::default() }, vec![(b, 2), (b, 1)]),
        (Filter { events: vec![Event::Failed], ..Filter::default() }, of_a()),
        (Filter { outcomes: vec![Outcome::Exhausted], ..Filter::default() }, of_a()),
        (Filter { classes: vec![StatusClass::Hundreds(4)], ..Filter::default() }, vec![(c, 1)]),
        (Filter { classes: vec![StatusClass::None], ..Filter::default() }, vec![(b, 2), (b, 1)]),
        (Filter { request_id: Some("r3".to_owned()), ..Filter::default() }, vec![(c, 1)]),
        (Filter { delivery: Some(a), ..Filter::default() }, of_a()),
        (Filter { till: Some(between), events: vec![Event::Failed], ..Filter::default() }, of_a()),
        (Filter { from: Some(Timestamp::now()), endpoints: vec![one], ..Filter::default() }, vec![]),
    ] {
        assert_eq!(search(filter.clone(), 0, 10).await.1, expected, "{filter:?}");
    }

    // What failed since, and was not delivered later.
    let failed = async |since: Timestamp| {
        let failed = receivers.webhooks.failed_since(one, since, RETENTION).await.unwrap();
        assert!(failed.iter().all(|unsettled| unsettled.request == "what a redelivery needs"));
        failed.into_iter().map(|unsettled| unsettled.delivery).collect::<Vec<_>>()
    };
    assert_eq!(failed(Timestamp::from_millis(0)).await, [a, c], "the oldest first");
    record(Attempt { fence: 3, ..exhausted }, 1, Outcome::RetryableFailure, Event::Failed, "r1", 500).await;
    assert_eq!(failed(Timestamp::from_millis(0)).await, [c], "one that is tried again is under way");

    let row = receivers.webhooks.history(one, 0, 1, RETENTION).await.unwrap().rows.remove(0);
    let id: RowId = row.id.parse().unwrap();
    let stored = receivers.others.row(&id, RETENTION).await.unwrap().unwrap();
    assert_eq!((stored.row, stored.request.as_str()), (row, "what a redelivery needs"));
    let gone: RowId = format!("{one}-1-1").parse().unwrap();
    assert!(receivers.others.row(&gone, RETENTION).await.unwrap().is_none());
}
