//! The report as a person reads it.

use comfy_table::{CellAlignment, Table};
use hermod::table::table;

use crate::report::{Cost, Drain, Latency, Phase, Reference, Report, float};

pub(crate) fn text(report: &Report) -> String {
    let mut parts = vec![head(report), latencies(report), costs(report).trim_fmt(), totals(report)];
    let mut processes = numbers(["process", "CPU s", "peak MB"]);
    for process in &report.processes {
        let peak = megabytes(process.peak_memory);
        processes.add_row([
            process.name.clone(),
            format!("{:.2}", process.cpu_seconds),
            format!("{peak:.1}"),
        ]);
    }
    parts.push(processes.trim_fmt());
    parts.extend(report.reference.as_ref().map(|reference| ratios(report, reference)));
    parts.extend(scenarios(report));
    parts.join("\n\n")
}

/// A table whose first column is text and whose others are numbers.
pub(crate) fn numbers<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = table(header);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn head(report: &Report) -> String {
    let (machine, load) = (&report.machine, &report.load);
    format!(
        "hermod {} on {} cores ({}), {}{}\n\
         {} jobs, {} clients; prompt {} bytes, result {}, provider answers after {} ms; {} worker(s) of {}",
        machine.version,
        machine.cores,
        machine.cpu,
        machine.redis,
        if machine.append_only { " with its append-only file" } else { ", nothing kept on disk" },
        load.jobs,
        load.concurrency,
        load.prompt_bytes,
        load.result_bytes,
        load.provider_latency_ms,
        load.workers,
        load.worker_concurrency
    )
}

fn latencies(report: &Report) -> String {
    let mut failures = String::new();
    let mut rows = numbers(["latency in ms", "a second", "p50", "p90", "p99", "p99.9", "max"]);
    phase(&mut rows, &mut failures, "submit", &report.submit);
    phase(&mut rows, &mut failures, "poll", &report.poll);
    if let Some(open) = &report.open_loop {
        phase(&mut rows, &mut failures, &format!("submit at {}/s", open.rate), &open.submit);
        for (name, latency) in
            [("  to the provider", &open.pickup_ms), ("  to the stored result", &open.stored_ms)]
        {
            if let Some(latency) = latency {
                line(&mut rows, name, String::new(), latency);
            }
        }
    }
    if let Some(reference) = &report.reference {
        phase(&mut rows, &mut failures, "floor: submit", &reference.submit);
        phase(&mut rows, &mut failures, "floor: poll", &reference.poll);
    }
    if let Some(pollers) = &report.pollers {
        let (clients, pause) = (pollers.clients, pollers.pause_ms);
        phase(&mut rows, &mut failures, &format!("{clients} poll one, {pause} ms"), &pollers.paced);
        phase(&mut rows, &mut failures, &format!("{clients} poll one, flat out"), &pollers.flat_out);
    }
    if let Some(waiting) = &report.waiting {
        phase(&mut rows, &mut failures, "many wait: submit", &waiting.submit);
        phase(&mut rows, &mut failures, "many wait: poll", &waiting.poll);
    }
    rows.trim_fmt() + &failures
}

fn phase(rows: &mut Table, failures: &mut String, name: &str, phase: &Phase) {
    line(rows, name, format!("{:.0}", phase.per_second), &phase.latency_ms);
    if phase.failed > 0 {
        let first = phase.first_failure.as_deref().unwrap_or("no reason given");
        failures.push_str(&format!(
            "\n{name}: {} of {} failed; the first: {first}",
            phase.failed, phase.requests
        ));
    }
}

fn line(rows: &mut Table, name: &str, rate: String, latency: &Latency) {
    let Latency { p50, p90, p99, p99_9, max } = latency;
    let times = [p50, p90, p99, p99_9, max].map(|time| format!("{time:.2}"));
    rows.add_row([name.to_owned(), rate].into_iter().chain(times));
}

fn costs(report: &Report) -> Table {
    let mut rows = numbers([
        "CPU µs and Redis, of one",
        "API",
        "worker",
        "Redis",
        "bench",
        "commands",
        "reads",
        "bytes in",
        "bytes out",
    ]);
    cost(&mut rows, "submit", &report.submit.cost);
    cost(&mut rows, "run (claim to end)", &report.drain.cost);
    if let Some(life) = &report.life {
        cost(&mut rows, "submit and run", life);
    }
    cost(&mut rows, "poll", &report.poll.cost);
    if let Some(open) = &report.open_loop {
        cost(&mut rows, &format!("submit and run, {}/s", open.rate), &open.submit.cost);
    }
    if let Some(reference) = &report.reference {
        cost(&mut rows, "floor: submit", &reference.submit.cost);
        cost(&mut rows, "floor: poll", &reference.poll.cost);
    }
    if let Some(pollers) = &report.pollers {
        cost(&mut rows, "many poll one, paced", &pollers.paced.cost);
        cost(&mut rows, "many poll one, flat out", &pollers.flat_out.cost);
    }
    if let Some(waiting) = &report.waiting {
        cost(&mut rows, "many wait: submit", &waiting.submit.cost);
        cost(&mut rows, "many wait: run", &waiting.drain.cost);
        cost(&mut rows, "many wait: poll", &waiting.poll.cost);
    }
    if let Some(low) = &report.low_rate {
        cost(&mut rows, &format!("submit, run and poll, {}/s", low.rate), &low.cost);
    }
    rows
}

fn cost(rows: &mut Table, name: &str, cost: &Cost) {
    let cpu = |cpu: Option<f64>| cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}"));
    let redis = cost.redis.as_ref();
    let mut cells = vec![
        name.to_owned(),
        cpu(cost.api_cpu_us),
        cpu(cost.worker_cpu_us),
        cpu(redis.map(|redis| redis.cpu_us)),
        cpu(Some(cost.bench_cpu_us)),
    ];
    if let Some(redis) = redis {
        cells.extend([format!("{:.2}", redis.commands), format!("{:.3}", redis.reads)]);
        cells.extend([redis.bytes_in, redis.bytes_out].map(|bytes| format!("{bytes:.0}")));
    }
    rows.add_row(cells);
}

fn totals(report: &Report) -> String {
    let Drain { jobs, seconds, per_second, .. } = &report.drain;
    let mut lines = vec![format!("drained      {jobs} jobs in {seconds:.2} s: {per_second:.0} jobs/s")];
    if let Some(memory) = &report.memory_per_job {
        let size = |bytes: usize| float(u64::try_from(bytes).unwrap_or(u64::MAX));
        lines.push(format!(
            "Redis memory {:.0} bytes a waiting job (prompt + {:.0}), {:.0} an ended one (result + {:.0})",
            memory.waiting,
            memory.waiting - size(report.load.prompt_bytes),
            memory.ended,
            memory.ended - size(report.load.result_bytes)
        ));
    }
    let jobs = &report.jobs;
    lines.push(format!(
        "jobs         {} accepted, {} completed, {} failed, {} lost, {} doubled",
        jobs.accepted, jobs.completed, jobs.failed, jobs.lost, jobs.doubled
    ));
    lines.join("\n")
}

fn ratios(report: &Report, reference: &Reference) -> String {
    let ratios = &reference.ratios;
    let redis = |cost: &Cost| cost.redis.as_ref().map(|redis| redis.cpu_us);
    let (submit, poll) = (&report.submit, &report.poll);
    let (floor_submit, floor_poll) = (&reference.submit, &reference.poll);
    let mut rows = numbers(["against the floor", "ours", "floor", "ratio"]);
    for (name, ours, floor, ratio) in [
        (
            "submits a second",
            Some(submit.per_second),
            Some(floor_submit.per_second),
            ratios.submit_throughput,
        ),
        ("polls a second", Some(poll.per_second), Some(floor_poll.per_second), ratios.poll_throughput),
        (
            "API CPU µs a submit",
            submit.cost.api_cpu_us,
            floor_submit.cost.api_cpu_us,
            ratios.api_cpu_per_submit,
        ),
        ("API CPU µs a poll", poll.cost.api_cpu_us, floor_poll.cost.api_cpu_us, ratios.api_cpu_per_poll),
        (
            "Redis CPU µs a submit",
            redis(&submit.cost),
            redis(&floor_submit.cost),
            ratios.redis_cpu_per_submit,
        ),
        (
            "worker CPU µs a job",
            report.drain.cost.worker_cpu_us,
            Some(reference.call.cpu_us),
            ratios.worker_cpu_per_job,
        ),
    ] {
        let figures = [ours, floor].map(|figure| format!("{:.1}", figure.unwrap_or_default()));
        rows.add_row([name.to_owned()].into_iter().chain(figures).chain([format!("{ratio:.2}")]));
    }
    format!(
        "{}\n(the floor of a worker's job is the bare call: {:.0}/s)",
        rows.trim_fmt(),
        reference.call.per_second
    )
}

fn scenarios(report: &Report) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(in_flight) = &report.in_flight {
        parts.push(format!(
            "in flight    {} jobs in one worker: {:.1} KB each, {:.1} MB in all; {:.1}% of a core while they wait, \
             Redis {:.1}%",
            in_flight.jobs,
            in_flight.memory_per_job / 1024.0,
            megabytes(in_flight.worker_memory),
            in_flight.worker_cpu_percent,
            in_flight.redis_cpu_percent
        ));
    }
    if let Some(waiting) = &report.waiting {
        let Drain { jobs, per_second, .. } = &waiting.drain;
        parts.push(format!(
            "many wait    {} jobs, {:.0} bytes each; {jobs} drained at {per_second:.0} jobs/s",
            waiting.jobs, waiting.memory_per_job
        ));
    }
    if let Some(low) = &report.low_rate {
        let redis = low.cost.redis.as_ref();
        let mut rows = numbers(["low rate", "a job"]);
        rows.add_row(["polls".to_owned(), format!("{:.2}", low.polls)]);
        rows.add_row([
            "Redis commands".to_owned(),
            redis.map_or_else(String::new, |redis| format!("{:.2}", redis.commands)),
        ]);
        let mut by_command: Vec<_> = redis.into_iter().flat_map(|redis| &redis.by_command).collect();
        by_command.sort_by(|one, other| other.1.total_cmp(one.1));
        for (name, calls) in by_command {
            rows.add_row([format!("  {name}"), format!("{calls:.2}")]);
        }
        parts.push(rows.trim_fmt());
    }
    if !report.sizes.is_empty() {
        let mut rows = numbers([
            "bytes",
            "jobs",
            "submits/s",
            "jobs/s drained",
            "polls/s",
            "API µs/submit",
            "worker µs/job",
            "Redis µs/job",
            "API µs/poll",
        ]);
        for size in &report.sizes {
            let rates = [size.submits_per_second, size.jobs_per_second, size.polls_per_second];
            let costs = [
                size.api_cpu_us_per_submit,
                size.worker_cpu_us_per_job,
                size.redis_cpu_us_per_job,
                size.api_cpu_us_per_poll,
            ];
            let figures = rates.into_iter().chain(costs).map(|figure| format!("{figure:.0}"));
            rows.add_row([size.bytes.to_string(), size.jobs.to_string()].into_iter().chain(figures));
        }
        parts.push(rows.trim_fmt());
    }
    parts
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}
