//! Chat of 1 KB, over each form that providers have, beside text completions.

use crate::WARM_UP;
use crate::jobs::Asks;
use crate::options::Options;
use crate::phases::{count, drain};
use crate::report::{Jobs, Phase};
use crate::rows::{Row, median, ratio};
use crate::run::Run;

/// Chat in OpenAI's form against a text completion, and in another form against OpenAI's.
const NATIVE_TARGET: f64 = 1.1;
const CONVERTED_TARGET: f64 = 1.5;

/// What is asked for, of whom.
type Kind = (&'static str, Asks, &'static str);

const TEXT: Kind = ("text completion", Asks::Completion, "bench/echo");
const NATIVE: Kind = ("chat", Asks::Chat, "bench/echo");
const CONVERTED: [Kind; 4] = [
    ("Anthropic", Asks::Chat, "anthropic/echo"),
    ("Gemini", Asks::Chat, "gemini/echo"),
    ("Bedrock", Asks::Chat, "bedrock/echo"),
    ("Cohere", Asks::Chat, "cohere/echo"),
];

/// CPU of one job, in microseconds.
#[derive(Clone, Debug, Default)]
struct Costs {
    /// Of its submit and one poll.
    api: Vec<f64>,
    worker: Vec<f64>,
    redis: Vec<f64>,
}

impl Costs {
    /// The median over the rounds: within one, both met the same machine.
    fn ratio(&self, to: &Self, of: impl Fn(&Self) -> &Vec<f64>) -> Option<f64> {
        let pairs = of(self).iter().zip(of(to));
        median(pairs.filter_map(|(ours, theirs)| ratio(*ours, *theirs)).collect())
    }
}

/// How many jobs it needs.
pub(super) fn jobs(options: &Options) -> u64 {
    let kinds = 2 + CONVERTED.len();
    u64::try_from(kinds).unwrap_or_default() * (options.rounds + 1) * options.jobs.max(WARM_UP)
}

pub(super) async fn measure(options: &Options, counted: &mut Jobs) -> anyhow::Result<Vec<Row>> {
    let mut run = Run::start(options).await?;
    let kinds: Vec<Kind> = [TEXT, NATIVE].into_iter().chain(CONVERTED).collect();
    for kind in &kinds {
        one(&mut run, *kind, options.jobs.min(WARM_UP), &mut Costs::default(), counted).await?;
    }
    let mut costs = vec![Costs::default(); kinds.len()];
    for _ in 0..options.rounds {
        for (kind, costs) in kinds.iter().zip(&mut costs) {
            one(&mut run, *kind, options.jobs, costs, counted).await?;
        }
    }
    run.stop_and_count(counted).await?;

    let [text, native, converted @ ..] = costs.as_slice() else { return Ok(Vec::new()) };
    let detail = |costs: &Costs, to: &Costs, name: &str| {
        let Costs { api, worker, redis } = costs;
        let to = (&to.api, &to.worker);
        format!(
            "µs a job: API {api:.1?}, worker {worker:.1?}, Redis {redis:.1?}; {name}: API {:.1?}, worker {:.1?}",
            to.0, to.1
        )
    };
    let of_text = detail(native, text, TEXT.0);
    let (api, worker) = (native.ratio(text, |of| &of.api), native.ratio(text, |of| &of.worker));
    let mut rows = vec![
        Row::new("chat against a text completion: API CPU", api, NATIVE_TARGET, "×", of_text.clone()),
        Row::new("chat against a text completion: worker CPU", worker, NATIVE_TARGET, "×", of_text),
    ];
    for ((name, ..), costs) in CONVERTED.iter().zip(converted) {
        let ratio = costs.ratio(native, |of| &of.worker);
        let figure = format!("chat over {name} against OpenAI's form: worker CPU");
        rows.push(Row::new(figure, ratio, CONVERTED_TARGET, "×", detail(costs, native, NATIVE.0)));
    }
    Ok(rows)
}

/// Submits jobs, runs them, and polls each once.
async fn one(
    run: &mut Run<'_>,
    (name, asks, model): Kind,
    jobs: u64,
    costs: &mut Costs,
    counted: &mut Jobs,
) -> anyhow::Result<()> {
    run.ask(asks, model);
    let first = run.look().await?;
    let (accepted, outcome) = run.submit(&format!("{name}: submit"), jobs).await?;
    let submit = Phase::new(&outcome, &first, &run.look().await?).cost;
    let (drained, _) = drain(run, &first, &accepted).await?;
    run.stop_workers()?;

    let ids: Vec<_> = accepted.iter().map(|job| job.id).collect();
    let before = run.look().await?;
    let (ends, outcome) = run.poll(&format!("{name}: poll"), &ids).await?;
    let poll = Phase::new(&outcome, &before, &run.look().await?).cost;
    count(counted, &ends);

    costs.api.push(submit.plus(&poll).api_cpu_us.unwrap_or_default());
    costs.worker.push(drained.cost.worker_cpu_us.unwrap_or_default());
    costs.redis.push(submit.plus(&drained.cost).redis.map_or(0.0, |redis| redis.cpu_us));
    Ok(())
}
