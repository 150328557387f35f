use std::time::Duration;

use futures_util::future::join_all;
use hermod_governance::{Limit, Measure, Window};
use hermod_types::Timestamp;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn never_more_are_admitted_than_the_limit_however_many_ask_at_once() {
    let server = Server::start();
    let requests = limit("requests:k", Measure::Requests, 100);
    let tokens = limit("tokens:k", Measure::Tokens, 1_000_000);
    let running = limit("key:k", Measure::Running, 150);
    let processes: Vec<_> = (0..8).map(|_| server.limits()).collect();
    let asks = (0..1000).map(|number: usize| {
        let (limits, requests, tokens, running) = (&processes[number % 8], &requests, &tokens, &running);
        async move { ask(limits, new_job(), 1, &[(requests, 1), (tokens, 10), (running, 1)]).await }
    });
    let admissions = join_all(asks).await;
    let admitted = admissions.iter().filter(|admission| **admission == Admission::Admitted).count();
    assert_eq!(admitted, 100);
    assert!(admissions.iter().all(|admission| exceeded(admission).is_empty() || exceeded(admission) == [0]));
    let limits = &processes[0];
    assert_eq!(usage(limits, &requests).await, (0, 100));
    assert_eq!(usage(limits, &tokens).await, (0, 1000), "all limits of a job, or none");
    assert_eq!(usage(limits, &running).await, (100, 0));
}

#[tokio::test]
async fn asking_again_reserves_nothing_again_and_a_fallback_only_adds_its_own() {
    let server = Server::start();
    let limits = server.limits();
    let (key, provider) = (limit("tokens:k", Measure::Tokens, 100), limit("tokens:p", Measure::Tokens, 10));
    let running = limit("key:k", Measure::Running, 1);
    let job = new_job();
    for fence in [1, 1, 2, 2] {
        assert_eq!(ask(&limits, job, fence, &[(&key, 30), (&running, 1)]).await, Admission::Admitted);
    }
    assert_eq!((usage(&limits, &key).await, usage(&limits, &running).await), ((0, 30), (1, 0)));
    assert_eq!(ask(&limits, job, 2, &[(&key, 30), (&provider, 7)]).await, Admission::Admitted);
    assert_eq!((usage(&limits, &key).await, usage(&limits, &provider).await), ((0, 30), (0, 7)));
    let other = new_job();
    let closed = ask(&limits, other, 1, &[(&key, 30), (&provider, 7)]).await;
    assert_eq!(exceeded(&closed), [1]);
    assert_eq!(usage(&limits, &key).await, (0, 30), "who is refused reserves nothing");
}

#[tokio::test]
async fn a_job_larger_than_the_limit_runs_alone() {
    let server = Server::start();
    let limits = server.limits();
    let tokens = limit("tokens:k", Measure::Tokens, 100);
    let (small, large, larger) = (new_job(), new_job(), new_job());
    assert_eq!(ask(&limits, small, 1, &[(&tokens, 1)]).await, Admission::Admitted);
    assert_eq!(exceeded(&ask(&limits, large, 1, &[(&tokens, 500)]).await), [0], "not beside another");
    limits.settle(small, owed(1, &[&tokens], 1, 0)).await.unwrap();
    assert_eq!(ask(&limits, large, 1, &[(&tokens, 500)]).await, Admission::Admitted);
    assert_eq!(exceeded(&ask(&limits, new_job(), 1, &[(&tokens, 1)]).await), [0], "nobody beside it");
    assert_eq!(exceeded(&ask(&limits, larger, 1, &[(&tokens, 500)]).await), [0]);
    limits.settle(large, owed(1, &[&tokens], 400, 0)).await.unwrap();
    assert_eq!(usage(&limits, &tokens).await, (401, 0));
    assert_eq!(
        exceeded(&ask(&limits, larger, 1, &[(&tokens, 500)]).await),
        [0],
        "nothing is left of the limit"
    );
}

#[tokio::test]
async fn until_is_the_end_of_the_window_or_soon_or_never() {
    let server = Server::start();
    let limits = server.limits();
    let with_window =
        |name: &str, measure, window| Arc::new(Limit { window, ..Limit::clone(&limit(name, measure, 10)) });
    let hour = Duration::from_secs(3600);
    let until = |admission: Admission| match admission {
        Admission::Admitted => panic!("it is admitted"),
        Admission::Closed { until, .. } => until.map(|until| {
            Duration::from_millis(until.as_millis().saturating_sub(Timestamp::now().as_millis()))
        }),
    };
    let rolling = with_window("tokens:r", Measure::Tokens, Window::Rolling(hour));
    let never = with_window("budget:n", Measure::Cost, Window::Never);
    for limit in [&rolling, &never] {
        let job = new_job();
        assert_eq!(ask(&limits, job, 1, &[(limit, 10)]).await, Admission::Admitted);
        let wait = until(ask(&limits, new_job(), 1, &[(limit, 1)]).await).unwrap();
        assert!(wait <= Duration::from_secs(2), "what is reserved may be free soon: {wait:?}");
        limits.settle(job, owed(1, &[limit], 10, 10)).await.unwrap();
    }
    let wait = until(ask(&limits, new_job(), 1, &[(&rolling, 1)]).await).unwrap();
    assert!(wait > hour - Duration::from_secs(60) && wait <= hour, "{wait:?}");
    assert_eq!(until(ask(&limits, new_job(), 1, &[(&rolling, 1), (&never, 1)]).await), None);
    let running = limit("key:k", Measure::Running, 1);
    assert_eq!(ask(&limits, new_job(), 1, &[(&running, 1)]).await, Admission::Admitted);
    let wait = until(ask(&limits, new_job(), 1, &[(&running, 1)]).await).unwrap();
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
    let nothing = Arc::new(Limit { max: 0, ..Limit::clone(&limit("requests:0", Measure::Requests, 0)) });
    assert_eq!(until(ask(&limits, new_job(), 1, &[(&nothing, 1)]).await), None);
}

#[tokio::test]
async fn an_edit_of_a_limit_changes_no_usage() {
    let server = Server::start();
    let limits = server.limits();
    let tokens = limit("tokens:k", Measure::Tokens, 100);
    let (ended, runs) = (new_job(), new_job());
    for job in [ended, runs] {
        ask(&limits, job, 1, &[(&tokens, 20)]).await;
    }
    limits.settle(ended, owed(1, &[&tokens], 15, 0)).await.unwrap();
    for (max, window) in [
        (50, Window::Rolling(Duration::from_secs(60))),
        (1000, Window::Calendar(hermod_governance::Calendar::Year)),
        (50, Window::Never),
        (100, Window::Rolling(Duration::from_secs(7200))),
    ] {
        let edited = Arc::new(Limit { max, window, ..Limit::clone(&tokens) });
        assert_eq!(usage(&limits, &edited).await, (15, 20), "{window:?}");
        assert_eq!(exceeded(&ask(&limits, new_job(), 1, &[(&edited, max - 34)]).await), [0]);
        let job = new_job();
        assert_eq!(ask(&limits, job, 1, &[(&edited, 5)]).await, Admission::Admitted);
        limits.refund(job, 1).await.unwrap();
    }
    limits.settle(runs, owed(1, &[&tokens], 7, 0)).await.unwrap();
    assert_eq!(usage(&limits, &tokens).await, (22, 0));
    limits.reset(&tokens).await.unwrap();
    assert_eq!(usage(&limits, &tokens).await, (0, 0));
}

#[tokio::test]
async fn a_window_that_has_ended_holds_nothing_for_a_new_start() {
    let server = Server::start();
    let limits = server.limits();
    let short = Window::Rolling(Duration::from_millis(300));
    let requests =
        Arc::new(Limit { window: short, ..Limit::clone(&limit("requests:k", Measure::Requests, 1)) });
    let job = new_job();
    assert_eq!(ask(&limits, job, 1, &[(&requests, 1)]).await, Admission::Admitted);
    // Another takes the next window.
    let mut other = new_job();
    while ask(&limits, other, 1, &[(&requests, 1)]).await != Admission::Admitted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ask(&limits, job, 1, &[(&requests, 1)]).await, Admission::Admitted, "the same start goes on");
    let mut refused = exceeded(&ask(&limits, job, 2, &[(&requests, 1)]).await).to_vec();
    while refused.is_empty() {
        // Its window was over before the other start could ask: once more.
        limits.refund(job, 2).await.unwrap();
        other = new_job();
        if ask(&limits, other, 1, &[(&requests, 1)]).await == Admission::Admitted {
            refused = exceeded(&ask(&limits, job, 2, &[(&requests, 1)]).await).to_vec();
        }
    }
    assert_eq!(refused, [0], "a start in a window counts in it");
}
