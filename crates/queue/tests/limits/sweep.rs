use hermod_queue::governance::Upkeep;
use redis::Commands;

use super::*;

/// Lets a permit be a minute old.
fn age(server: &Server, job: JobId) {
    let mut redis = server.connect();
    // It follows the count of limits, the fence, and what is held of each limit.
    let script = "local p = redis.call('HGET', KEYS[1], ARGV[1])
        local at = 4 + 8 * (string.byte(p, 2) + 1)
        local since = struct.unpack('<d', p, at)
        redis.call('HSET', KEYS[1], ARGV[1], string.sub(p, 1, at - 1) .. struct.pack('<d', since - 60000) .. string.sub(p, at + 8))";
    let script = redis::Script::new(script);
    let _: () = script.key("{hermod:0}:permits").arg(job.to_string()).invoke(&mut redis).unwrap();
}

#[tokio::test]
async fn what_a_job_holds_that_has_gone_is_freed_and_what_others_hold_is_not() {
    let server = Server::start();
    let limits = server.limits();
    let requests = limit("requests:k", Measure::Requests, 100);
    let (tokens, running) = (limit("tokens:k", Measure::Tokens, 1000), limit("key:k", Measure::Running, 100));
    let wants = [(&requests, 1), (&tokens, 10), (&running, 1)];
    let mut redis = server.connect();
    let mut record = |fields: &[(&str, &str)], fence: u64| {
        let job = new_job();
        if !fields.is_empty() {
            let _: () = redis.hset_multiple(format!("{{hermod:0}}:job:{job}"), fields).unwrap();
        }
        (job, fence)
    };
    let jobs = [
        record(&[], 1),
        record(&[("holder", "1"), ("code", "200")], 1),
        record(&[], 0),
        record(&[("holder", "1 worker token 5 9"), ("request", "x")], 1),
        record(&[("holder", "1"), ("request", "x")], 1),
        record(&[("holder", "0"), ("request", "x")], 0),
        record(&[("holder", "1"), ("code", "200")], 1),
    ];
    for (job, fence) in jobs {
        assert_eq!(ask(&limits, job, fence, &wants).await, Admission::Admitted);
        age(&server, job);
    }
    let young = new_job();
    ask(&limits, young, 1, &wants).await;
    // The last has ended and is about to be settled, by its worker: not while it is looked at.
    let owed = owed(1, &[&requests, &tokens], 3, 0);
    let _: () = server.connect().hset("{hermod:1}:owed", jobs[6].0.to_string(), owed.to_json()).unwrap();
    limits.settle(jobs[6].0, owed).await.unwrap();
    let mut upkeep = Upkeep::new(&server.store(), &limits, Shard::default());
    upkeep.run().await.unwrap();
    let mut held: Vec<String> = server.connect().hkeys("{hermod:0}:permits").unwrap();
    held.sort();
    let mut expected: Vec<_> =
        [jobs[3].0, jobs[4].0, jobs[5].0, young].iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(held, expected);
    let left: Vec<String> = server.connect().zrange("{hermod:0}:running:key:k", 0, -1).unwrap();
    assert!(!left.contains(&jobs[4].0.to_string()), "it waits, and no longer counts as running");
    assert_eq!((left.len(), usage(&limits, &running).await), (3, (3, 0)));
    // Those that may have called count as requests; nobody knows of their tokens.
    assert_eq!((usage(&limits, &requests).await, usage(&limits, &tokens).await), ((3, 4), (3, 40)));
    let unknown: u64 = server.connect().hget("{hermod:0}:totals:k", "unknown_calls").unwrap();
    assert_eq!(unknown, 2);
}
