use hermod_types::{JobStatus, Timestamp};

use super::*;

/// A hub whose Redis is nowhere.
fn events(stop: CancellationToken) -> Events {
    let store = Store::new(&"unix:///nowhere/redis.sock".parse().unwrap()).unwrap();
    Events::new(&store, ShardCount::ONE, &TaskTracker::new(), stop)
}

/// One that looks for none, so that it hears what a test says and nothing else.
fn deaf() -> Events {
    let stop = CancellationToken::new();
    stop.cancel();
    events(stop)
}

fn new_id() -> JobId {
    JobId::at(Timestamp::now().as_millis(), Shard::default())
}

fn say(events: &Events, text: &str) {
    events.0.hear(Heard::Message { channel: &Channel::events(Shard::default()), text });
}

fn event(seq: u64, state: JobState, code: u16) -> News {
    News::Event(JobEvent { seq, state, code })
}

#[tokio::test(start_paused = true)]
async fn each_who_waits_hears_the_newest_of_its_own_job() {
    let events = deaf();
    let (id, other) = (new_id(), new_id());
    let (mut first, mut second, mut third) = (events.watch(id), events.watch(id), events.watch(other));
    assert_eq!(events.listeners(), 3);
    say(&events, &format!("{id} 1 running 0 \n{other} 1 running 0 vk-1"));
    assert_eq!(first.next().await, event(1, JobState::Running, 0));
    assert_eq!(third.next().await, event(1, JobState::Running, 0));
    say(&events, &format!("nonsense\n\n{id} 3 ended 200 "));
    let ended = event(3, JobState::Ended, 200);
    assert_eq!((first.next().await, second.next().await), (ended, ended));
    drop((first, third));
    assert_eq!(events.listeners(), 1);
    drop(second);
    let hearing = lock(&events.0.hearing);
    assert!(hearing.jobs.is_empty() && hearing.shards[&Shard::default()].waiters == 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_looks_now_and_then_and_soon_after_a_break() {
    let events = deaf();
    let mut watch = events.watch(new_id());
    let begun = Instant::now();
    assert_eq!(watch.next().await, News::LookAgain);
    assert!((24..=36).contains(&begun.elapsed().as_secs()));
    let channel = Channel::events(Shard::default());
    events.0.hear(Heard::Restored(&channel));
    let begun = Instant::now();
    assert_eq!(watch.next().await, News::LookAgain);
    assert!(begun.elapsed() <= LOOK_WITHIN);
    events.0.hear(Heard::Away(&channel));
    assert_eq!(watch.next().await, News::Away);
    events.0.hear(Heard::Away(&channel));
    let begun = Instant::now();
    assert_eq!(watch.next().await, News::LookAgain, "it is told once");
    assert!(begun.elapsed() > LOOK_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_connection_is_made_waits_for_it() {
    let events = deaf();
    let mut watch = events.watch(new_id());
    let channel = Channel::events(Shard::default());
    events.0.hear(Heard::Restored(&channel));
    watch.ready().await;
    events.0.hear(Heard::Lost(&channel));
    let mut ready = Box::pin(watch.ready());
    assert!(futures_util::poll!(&mut ready).is_pending());
    events.0.hear(Heard::Restored(&channel));
    assert!(futures_util::poll!(&mut ready).is_ready());
    drop(ready);
    // It has yet to look for the first time, and need not look again at once.
    let begun = Instant::now();
    assert_eq!(watch.next().await, News::LookAgain);
    assert!(begun.elapsed() > LOOK_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_listened_to_for_a_minute_after_the_last_who_waited() {
    let events = events(CancellationToken::new());
    let watch = events.watch(new_id());
    sleep(3 * LINGER).await;
    let is_heard = || !lock(&events.0.hearing).shards.is_empty();
    assert!(is_heard());
    drop(watch);
    sleep(LINGER - TIDY_INTERVAL).await;
    assert!(is_heard());
    sleep(3 * TIDY_INTERVAL).await;
    assert!(!is_heard());
}

#[tokio::test(start_paused = true)]
async fn a_virtual_key_hears_the_ends_of_its_jobs_and_what_it_has_missed() {
    let events = events(CancellationToken::new());
    let (mut own, mut other) = (events.watch_owner("vk 1"), events.watch_owner("vk-2"));
    own.ready().await;
    assert_eq!(own.next().await, OwnerNews::Away, "from the beginning");
    let id = new_id();
    say(&events, &format!("{id} 1 running 0 vk 1\n{id} 3 ended 400 vk 1\n{} 3 ended 200 ", new_id()));
    let end = End { id, code: 400 };
    assert_eq!(own.next().await, OwnerNews::Ended(vec![end]));
    let view = own.views(&[end]).await.remove(0);
    assert_eq!((view.id, view.status, view.status_code), (id, JobStatus::Failed, Some(400)));
    for _ in 0..2000 {
        say(&events, &format!("{id} 3 ended 200 vk-2"));
    }
    let (mut heard, mut missed) = (0, 0);
    while missed == 0 {
        match other.next().await {
            OwnerNews::Ended(ends) => heard += ends.len(),
            OwnerNews::Missed => missed += 1,
            OwnerNews::Away => assert_eq!(heard, 1024),
        }
    }
    assert_eq!(heard, 1024);
    assert_eq!(events.listeners(), 2);
    drop((own, other));
    assert!(lock(&events.0.hearing).owners.is_empty());
}
