use hermod_queue::Findings;

/// What a comparison has found.
pub(super) fn check(findings: &Findings, repair: bool) -> String {
    let Findings {
        records,
        entries,
        laned,
        records_without_entry,
        entries_without_job,
        entries_without_holder,
        bodies_without_job,
        lanes_miscounted,
        idle_consumers,
        shards_unknown,
    } = findings;
    let mended = |count: usize, done: &str| match (count, repair) {
        (0, _) => String::new(),
        (_, true) => format!("   {done}"),
        (_, false) => "   --repair mends it".to_owned(),
    };
    format!(
        "{records:>8} records, {entries} entries, {laned} jobs in lanes\n\
         {records_without_entry:>8} jobs that wait or run without an entry or a lane{}\n\
         {entries_without_job:>8} entries whose job is gone or has ended{}\n\
         {entries_without_holder:>8} entries that no worker would get again{}\n\
         {bodies_without_job:>8} bodies without a job{}\n\
         {lanes_miscounted:>8} shards whose jobs in lanes are miscounted{}\n\
         {idle_consumers:>8} workers that are gone and hold nothing{}\n\
         {shards_unknown:>8} shards with jobs that no worker knows of{}\n",
        mended(*records_without_entry, "queued again"),
        mended(*entries_without_job, "removed"),
        mended(*entries_without_holder, "to be claimed"),
        mended(*bodies_without_job, "expire"),
        mended(*lanes_miscounted, "counted"),
        mended(*idle_consumers, "forgotten"),
        mended(*shards_unknown, "served from now on"),
    )
}
