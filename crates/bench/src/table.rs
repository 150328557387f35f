//! The report as a person reads it.

use std::fmt::Write;

use crate::report::{Cost, Drain, Latency, Phase, Reference, Report};

/// The report as text.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String has no way to fail.
    write(report, &mut out).ok();
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    head(report, out)?;
    latencies(report, out)?;
    costs(report, out)?;
    let drain = &report.drain;
    writeln!(
        out,
        "\ndrained      {} jobs in {:.2} s: {:.0} jobs/s",
        drain.jobs, drain.seconds, drain.per_second
    )?;
    if let Some(memory) = &report.memory_per_job {
        writeln!(
            out,
            "Redis memory {:.0} bytes a waiting job (prompt + {:.0}), {:.0} an ended one (result + {:.0})",
            memory.waiting,
            memory.waiting - size(report.load.prompt_bytes),
            memory.ended,
            memory.ended - size(report.load.result_bytes)
        )?;
    }
    let jobs = &report.jobs;
    writeln!(
        out,
        "jobs         {} accepted, {} completed, {} failed, {} lost, {} doubled",
        jobs.accepted, jobs.completed, jobs.failed, jobs.lost, jobs.doubled
    )?;
    writeln!(out, "\n{:<32} {:>8} {:>9}", "process", "CPU s", "peak MB")?;
    for process in &report.processes {
        let peak = megabytes(process.peak_memory);
        writeln!(out, "{:<32} {:>8.2} {:>9.1}", process.name, process.cpu_seconds, peak)?;
    }
    if let Some(reference) = &report.reference {
        ratios(report, reference, out)?;
    }
    scenarios(report, out)
}

fn head(report: &Report, out: &mut String) -> std::fmt::Result {
    let (machine, load) = (&report.machine, &report.load);
    writeln!(
        out,
        "hermod {} on {} cores ({}), {}{}",
        machine.version,
        machine.cores,
        machine.cpu,
        machine.redis,
        if machine.append_only { " with its append-only file" } else { ", nothing kept on disk" }
    )?;
    writeln!(
        out,
        "{} jobs, {} clients; prompt {} bytes, result {}, provider answers after {} ms; {} worker(s) of {}\n",
        load.jobs,
        load.concurrency,
        load.prompt_bytes,
        load.result_bytes,
        load.provider_latency_ms,
        load.workers,
        load.worker_concurrency
    )
}

fn latencies(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{:<26} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}  ms",
        "", "a second", "p50", "p90", "p99", "p99.9", "max"
    )?;
    phase(out, "submit", &report.submit)?;
    phase(out, "poll", &report.poll)?;
    if let Some(open) = &report.open_loop {
        phase(out, &format!("submit at {}/s", open.rate), &open.submit)?;
        for (name, latency) in
            [("  to the provider", &open.pickup_ms), ("  to the stored result", &open.stored_ms)]
        {
            if let Some(latency) = latency {
                line(out, name, "", latency)?;
            }
        }
    }
    if let Some(reference) = &report.reference {
        phase(out, "floor: submit", &reference.submit)?;
        phase(out, "floor: poll", &reference.poll)?;
    }
    if let Some(pollers) = &report.pollers {
        let (clients, pause) = (pollers.clients, pollers.pause_ms);
        phase(out, &format!("{clients} poll one, {pause} ms"), &pollers.paced)?;
        phase(out, &format!("{clients} poll one, flat out"), &pollers.flat_out)?;
    }
    if let Some(waiting) = &report.waiting {
        phase(out, "many wait: submit", &waiting.submit)?;
        phase(out, "many wait: poll", &waiting.poll)?;
    }
    Ok(())
}

fn phase(out: &mut String, name: &str, phase: &Phase) -> std::fmt::Result {
    line(out, name, &format!("{:.0}", phase.per_second), &phase.latency_ms)?;
    if phase.failed > 0 {
        let first = phase.first_failure.as_deref().unwrap_or("no reason given");
        writeln!(out, "  {} of {} failed; the first: {first}", phase.failed, phase.requests)?;
    }
    Ok(())
}

fn line(out: &mut String, name: &str, rate: &str, latency: &Latency) -> std::fmt::Result {
    let Latency { p50, p90, p99, p99_9, max } = latency;
    writeln!(out, "{name:<26} {rate:>9} {p50:>8.2} {p90:>8.2} {p99:>8.2} {p99_9:>8.2} {max:>8.2}")
}

fn costs(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<26} {:>7} {:>7} {:>7} {:>7}  CPU µs {:>8} {:>7} {:>9} {:>9}",
        "cost of one", "API", "worker", "Redis", "bench", "commands", "reads", "bytes in", "bytes out"
    )?;
    cost(out, "submit", &report.submit.cost)?;
    cost(out, "run (claim to end)", &report.drain.cost)?;
    if let Some(life) = &report.life {
        cost(out, "submit and run", life)?;
    }
    cost(out, "poll", &report.poll.cost)?;
    if let Some(open) = &report.open_loop {
        cost(out, &format!("submit and run, {}/s", open.rate), &open.submit.cost)?;
    }
    if let Some(reference) = &report.reference {
        cost(out, "floor: submit", &reference.submit.cost)?;
        cost(out, "floor: poll", &reference.poll.cost)?;
    }
    if let Some(pollers) = &report.pollers {
        cost(out, "many poll one, paced", &pollers.paced.cost)?;
        cost(out, "many poll one, flat out", &pollers.flat_out.cost)?;
    }
    if let Some(waiting) = &report.waiting {
        cost(out, "many wait: submit", &waiting.submit.cost)?;
        cost(out, "many wait: run", &waiting.drain.cost)?;
        cost(out, "many wait: poll", &waiting.poll.cost)?;
    }
    Ok(())
}

fn cost(out: &mut String, name: &str, cost: &Cost) -> std::fmt::Result {
    let shown = |cpu: Option<f64>| cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}"));
    let (api, worker, bench) = (shown(cost.api_cpu_us), shown(cost.worker_cpu_us), cost.bench_cpu_us);
    write!(out, "{name:<26} {api:>7} {worker:>7} ")?;
    match &cost.redis {
        Some(redis) => writeln!(
            out,
            "{:>7.1} {bench:>7.1}         {:>8.2} {:>7.3} {:>9.0} {:>9.0}",
            redis.cpu_us, redis.commands, redis.reads, redis.bytes_in, redis.bytes_out
        ),
        None => writeln!(out, "{:>7} {bench:>7.1}", "-"),
    }
}

fn ratios(report: &Report, reference: &Reference, out: &mut String) -> std::fmt::Result {
    let ratios = &reference.ratios;
    let cpu = |cpu: Option<f64>| cpu.unwrap_or_default();
    let redis = |cost: &Cost| cost.redis.as_ref().map_or(0.0, |redis| redis.cpu_us);
    let (submit, poll) = (&report.submit, &report.poll);
    writeln!(out, "\n{:<26} {:>9} {:>9} {:>8}", "against the floor", "ours", "floor", "ratio")?;
    for (name, ours, floor, ratio) in [
        ("submits a second", submit.per_second, reference.submit.per_second, ratios.submit_throughput),
        ("polls a second", poll.per_second, reference.poll.per_second, ratios.poll_throughput),
        (
            "API CPU µs a submit",
            cpu(submit.cost.api_cpu_us),
            cpu(reference.submit.cost.api_cpu_us),
            ratios.api_cpu_per_submit,
        ),
        (
            "API CPU µs a poll",
            cpu(poll.cost.api_cpu_us),
            cpu(reference.poll.cost.api_cpu_us),
            ratios.api_cpu_per_poll,
        ),
        (
            "Redis CPU µs a submit",
            redis(&submit.cost),
            redis(&reference.submit.cost),
            ratios.redis_cpu_per_submit,
        ),
        (
            "worker CPU µs a job",
            cpu(report.drain.cost.worker_cpu_us),
            reference.call.cpu_us,
            ratios.worker_cpu_per_job,
        ),
    ] {
        writeln!(out, "{name:<26} {ours:>9.1} {floor:>9.1} {ratio:>8.2}")?;
    }
    writeln!(out, "(the floor of a worker's job is the bare call: {:.0}/s)", reference.call.per_second)
}

fn scenarios(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(in_flight) = &report.in_flight {
        writeln!(
            out,
            "\nin flight    {} jobs in one worker: {:.1} KB each, {:.1} MB in all; {:.1}% of a core while they wait, \
             Redis {:.1}%",
            in_flight.jobs,
            in_flight.memory_per_job / 1024.0,
            megabytes(in_flight.worker_memory),
            in_flight.worker_cpu_percent,
            in_flight.redis_cpu_percent
        )?;
    }
    if let Some(waiting) = &report.waiting {
        let Drain { jobs, per_second, .. } = &waiting.drain;
        writeln!(
            out,
            "\nmany wait    {} jobs, {:.0} bytes each; {jobs} drained at {per_second:.0} jobs/s",
            waiting.jobs, waiting.memory_per_job
        )?;
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    crate::report::float(bytes) / f64::from(1 << 20)
}

fn size(bytes: usize) -> f64 {
    crate::report::float(u64::try_from(bytes).unwrap_or(u64::MAX))
}
