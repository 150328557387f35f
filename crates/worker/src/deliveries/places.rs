//! How a worker's places for deliveries are shared, so that no receiver that is slow, hangs or is dead takes them all.
//!
//! A delivery has a place from its claim to its end. Of each receiver,
//!
//! - at most a quarter of all places are taken, or all of them where it is so quick that others wait for about [`TURN`] at most;
//! - at most [`SICK_PLACES`] once its last [`SICK`] attempts have failed;
//! - all receivers of the latter kind together take at most a half;
//! - deliveries wait in place for a slot only while their turn is to come within [`TURN`].
//!
//! What finds no place is delayed in Redis, to times that are as far apart as attempts end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hermod_types::webhook::EndpointId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Failures in a row after which a receiver has few places.
const SICK: u64 = 3;
const SICK_PLACES: usize = 4;
/// The longest that a delivery waits in place, as far as it can be told. Delayed ones are looked at each second.
const TURN: Duration = Duration::from_secs(1);
/// Attempts that a receiver takes at once, as far as is known here: the default of an endpoint.
const AT_ONCE: u32 = 10;
/// How long an attempt is taken to last before one has been seen.
const ASSUMED: Duration = Duration::from_secs(1);
/// The longest delay of what finds no place.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Receivers that are known before those are forgotten of which there is nothing here.
const MOST_RECEIVERS: usize = 4096;

/// The places of all receivers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    all: usize,
    receivers: Mutex<HashMap<EndpointId, Receiver>>,
}

struct Receiver {
    /// Places that are taken.
    taken: usize,
    /// Of those, where a slot is waited for.
    waiting: usize,
    /// Attempts that have failed since the last that did not.
    failures: u64,
    /// How long an attempt lasts.
    lasts: Duration,
    /// When the next attempt could be made that nobody was told of.
    next: Instant,
    /// Whether its slots were all taken when they were last asked for.
    is_full: bool,
    line: Arc<Line>,
}

/// Where deliveries to one receiver wait for a slot.
struct Line {
    /// Of the first.
    turn: Arc<Semaphore>,
    /// A slot that this worker had is free.
    freed: Notify,
}

/// A delivery's place, until it is dropped.
pub(super) struct Place {
    places: Places,
    receiver: EndpointId,
    line: Arc<Line>,
}

/// A place in the line of those that wait for a slot, until it is dropped.
pub(super) struct Waiting<'a> {
    place: &'a Place,
    /// Once it is the first.
    turn: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// So many.
    pub(super) fn new(all: usize) -> Self {
        Self(Arc::new(Inner { all, receivers: Mutex::default() }))
    }

    /// A place for a delivery to `receiver`; or, where it has all that it may have, how long to delay the delivery.
    pub(super) fn enter(&self, id: EndpointId) -> Result<Place, Duration> {
        let mut receivers = self.lock();
        let now = Instant::now();
        if receivers.len() >= MOST_RECEIVERS {
            receivers.retain(|_, receiver| receiver.taken > 0);
        }
        let receiver = receivers.entry(id).or_insert_with(|| Receiver::new(now));
        let (most, mut has_all) = (receiver.most(self.0.all), receiver.taken >= receiver.most(self.0.all));
        if receiver.is_sick() && !has_all {
            has_all = taken_by_sick(&receivers) >= (self.0.all / 2).max(1);
        }
        let receiver = receivers.entry(id).or_insert_with(|| Receiver::new(now));
        if has_all {
            return Err(receiver.later(now, most));
        }
        receiver.taken += 1;
        Ok(Place { places: self.clone(), receiver: id, line: Arc::clone(&receiver.line) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Receiver>> {
        self.0.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken_by_sick(receivers: &HashMap<EndpointId, Receiver>) -> usize {
    receivers.values().filter(|receiver| receiver.is_sick()).map(|receiver| receiver.taken).sum()
}

impl Receiver {
    fn new(now: Instant) -> Self {
        let line = Line { turn: Arc::new(Semaphore::new(1)), freed: Notify::new() };
        Self {
            taken: 0,
            waiting: 0,
            failures: 0,
            lasts: ASSUMED,
            next: now,
            is_full: false,
            line: Arc::new(line),
        }
    }

    const fn is_sick(&self) -> bool {
        self.failures >= SICK
    }

    /// Whether it would soon be through with deliveries in all places.
    fn is_quick(&self, all: usize) -> bool {
        let one_by_one = self.lasts.saturating_mul(u32::try_from(all).unwrap_or(u32::MAX));
        self.lasts < ASSUMED && one_by_one <= TURN * AT_ONCE
    }

    /// Places that it may have.
    fn most(&self, all: usize) -> usize {
        let quarter = (all / 4).max(1);
        if self.is_sick() {
            SICK_PLACES.min(quarter)
        } else if self.is_quick(all) {
            // To delay what a quick receiver would soon be sent costs more than all the rest of a delivery.
            all
        } else {
            quarter
        }
    }

    /// Deliveries that may wait in place.
    fn most_waiting(&self) -> usize {
        let running = self.taken.saturating_sub(self.waiting).max(1);
        let turns = TURN.as_nanos() / self.lasts.as_nanos().max(1);
        running.saturating_mul(usize::try_from(turns).unwrap_or(usize::MAX)).max(1)
    }

    /// How long to delay what finds no place: as many are told a time within an attempt's length as have places.
    fn later(&mut self, now: Instant, most: usize) -> Duration {
        let interval = self.lasts / u32::try_from(most).unwrap_or(u32::MAX).max(1);
        let next = self.next.max(now) + interval;
        if next > now + LONGEST_DELAY {
            // They have no time of their own.
            return LONGEST_DELAY.mul_f64(0.5 + fastrand::f64() / 2.0);
        }
        self.next = next;
        next - now
    }
}

impl Place {
    fn with<T>(&self, change: impl FnOnce(&mut Receiver, usize) -> T) -> Option<T> {
        let all = self.places.0.all;
        self.places.lock().get_mut(&self.receiver).map(|receiver| change(receiver, all))
    }

    /// Whether a slot may be asked for at once: otherwise others wait for one.
    pub(super) fn is_first(&self) -> bool {
        self.with(|receiver, _| !receiver.is_full).unwrap_or(true)
    }

    /// A place in the line, where all slots are taken; none where the turn would come too late, or this worker has enough places
    /// taken.
    pub(super) fn wait(&self) -> Option<Waiting<'_>> {
        let may_wait = |receiver: &mut Receiver, all| {
            receiver.is_full = true;
            let may_wait = receiver.taken <= receiver.most(all) && receiver.waiting < receiver.most_waiting();
            receiver.waiting += usize::from(may_wait);
            may_wait
        };
        self.with(may_wait)?.then(|| Waiting { place: self, turn: None })
    }

    /// Notes that the attempt begins, and how many have failed before it.
    pub(super) fn begins(&self, failures: u64) {
        self.with(|receiver, _| {
            receiver.failures = failures;
            if receiver.waiting == 0 {
                receiver.is_full = false;
            }
        });
    }

    /// Tells the first in the line that a slot is free in Redis.
    pub(super) fn frees_slot(&self) {
        self.line.freed.notify_one();
    }

    /// Notes how the attempt has ended.
    pub(super) fn ended(&self, took: Duration, is_delivered: bool) {
        self.with(|receiver, _| {
            receiver.failures = if is_delivered { 0 } else { receiver.failures.saturating_add(1) };
            receiver.lasts = (receiver.lasts * 4 + took) / 5;
        });
    }
}

impl Waiting<'_> {
    /// Returns once it is the first in the line.
    pub(super) async fn turn(&mut self) {
        let turn = Arc::clone(&self.place.line.turn);
        // It is never closed.
        self.turn = turn.acquire_owned().await.ok();
    }

    /// Returns once a slot that this worker had is free, or after `most`.
    pub(super) async fn freed(&self, most: Duration) {
        tokio::select! {
            () = self.place.line.freed.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.place.with(|receiver, _| receiver.waiting -= 1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.with(|receiver, _| receiver.taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(100);

    fn id(name: &str) -> EndpointId {
        EndpointId::of_file(name)
    }

    /// As many places as `receiver` gets, up to `most`.
    fn take(places: &Places, receiver: &str, most: usize) -> Vec<Place> {
        (0..most).map_while(|_| places.enter(id(receiver)).ok()).collect()
    }

    /// Lets the attempts of a receiver fail often enough.
    fn sicken(places: &Places, receiver: &str) {
        let place = places.enter(id(receiver)).ok().unwrap();
        place.begins(SICK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_has_a_quarter_of_the_places_and_one_that_fails_few() {
        let places = Places::new(256);
        let of_one = take(&places, "one", 256);
        assert_eq!(of_one.len(), 64);
        assert_eq!(take(&places, "two", 256).len(), 64, "the others have theirs");
        drop(of_one);
        sicken(&places, "one");
        let of_one = take(&places, "one", 256);
        assert_eq!(of_one.len(), SICK_PLACES);
        of_one[0].ended(TOOK, true);
        assert_eq!(take(&places, "one", 256).len(), 64 - SICK_PLACES, "it is well again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_receiver_may_have_all_places_until_it_is_slow_or_fails() {
        let places = Places::new(256);
        let first = places.enter(id("one")).ok().unwrap();
        let end = |took: u64| (0..20).for_each(|_| first.ended(Duration::from_millis(took), true));
        end(5);
        assert_eq!(take(&places, "one", 256).len(), 255);
        end(500);
        assert_eq!(take(&places, "one", 256).len(), 63);
        end(5);
        sicken(&places, "one");
        assert_eq!(take(&places, "one", 256).len(), SICK_PLACES - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_with_few_places_gives_each_receiver_one_at_least() {
        for (all, most) in [(1, 1), (4, 1), (8, 2)] {
            let places = Places::new(all);
            assert_eq!(take(&places, "one", all + 1).len(), most, "{all}");
            sicken(&places, "two");
            assert_eq!(take(&places, "two", all + 1).len(), most, "{all}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn receivers_that_fail_have_a_half_of_the_places_together() {
        let places = Places::new(64);
        let mut taken = Vec::new();
        for number in 0..64 {
            let name = number.to_string();
            sicken_beside(&places, &name);
            taken.extend(take(&places, &name, SICK_PLACES));
        }
        assert_eq!(taken.len(), 32);
        assert_eq!(take(&places, "well", 64).len(), 16);
    }

    /// The same where there may be no place.
    fn sicken_beside(places: &Places, receiver: &str) {
        let mut receivers = places.lock();
        let known = receivers.entry(id(receiver)).or_insert_with(|| Receiver::new(Instant::now()));
        known.failures = SICK;
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_place_is_delayed_to_times_that_are_spread() {
        let places = Places::new(16);
        let _taken = take(&places, "one", 4);
        let told: Vec<Duration> = (0..1000).map(|_| places.enter(id("one")).err().unwrap()).collect();
        // Four attempts of a second each: one ends each quarter of it.
        let quarter = ASSUMED / 4;
        assert_eq!(told[..3], [quarter, quarter * 2, quarter * 3]);
        assert_eq!(told[239], LONGEST_DELAY);
        assert!(told[240..].iter().all(|told| (LONGEST_DELAY / 2..=LONGEST_DELAY).contains(told)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(places.enter(id("one")).err(), Some(LONGEST_DELAY - Duration::from_secs(30) + quarter));
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_wait_in_place_only_while_their_turn_is_near() {
        let places = Places::new(400);
        let place = |_| places.enter(id("one")).ok().unwrap();
        let taken: Vec<Place> = (0..20).map(place).collect();
        // Each attempt is taken to last a second: as many may wait as run.
        let waiting: Vec<_> = taken.iter().map_while(Place::wait).collect();
        assert_eq!(waiting.len(), 10);
        drop(waiting);
        for _ in 0..100 {
            taken[0].ended(Duration::from_secs(10), true);
        }
        let waiting: Vec<_> = taken.iter().map_while(Place::wait).collect();
        assert_eq!(waiting.len(), 1, "one is there when a slot is free");
        drop(waiting);
        for _ in 0..100 {
            taken[0].ended(Duration::from_millis(10), true);
        }
        let waiting: Vec<_> = taken.iter().map_while(Place::wait).collect();
        assert_eq!(waiting.len(), 20, "turns come fast");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_free_is_handed_to_the_first_in_the_line() {
        let places = Places::new(400);
        let [one, two, three] = [(); 3].map(|()| places.enter(id("one")).ok().unwrap());
        assert!(one.is_first());
        let (mut second, mut third) = (two.wait().unwrap(), three.wait().unwrap());
        assert!(!places.enter(id("one")).ok().unwrap().is_first(), "others wait");
        second.turn().await;
        assert!(futures_util::poll!(std::pin::pin!(third.turn())).is_pending());
        let begun = Instant::now();
        one.frees_slot();
        second.freed(TOOK).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "at once");
        drop(second);
        two.begins(0);
        assert!(!one.is_first(), "one still waits");
        third.turn().await;
        third.freed(TOOK).await;
        assert_eq!(begun.elapsed(), TOOK);
        drop(third);
        three.begins(0);
        assert!(one.is_first());
    }
}
