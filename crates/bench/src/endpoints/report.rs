use std::fmt::{Display, Formatter};

use serde::Serialize;

use crate::report::{Jobs, Machine};
use crate::table::numbers;

#[derive(Debug, Serialize)]
pub(crate) struct Endpoints {
    pub(crate) machine: Machine,
    /// All but those of `--before`, which counts its own.
    pub(crate) jobs: Jobs,
    pub(crate) rows: Vec<Row>,
}

/// A figure that must not be above its target.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: String,
    /// None where there was too little of it to be measured.
    pub(crate) measured: Option<f64>,
    pub(crate) target: f64,
    pub(crate) unit: &'static str,
    pub(crate) is_met: bool,
    /// What it is made of.
    pub(crate) detail: String,
}

impl Row {
    pub(crate) fn new(
        figure: impl Into<String>,
        measured: impl Into<Option<f64>>,
        target: f64,
        unit: &'static str,
        detail: String,
    ) -> Self {
        let measured = measured.into();
        let is_met = measured.is_some_and(|measured| measured <= target);
        Self { figure: figure.into(), measured, target, unit, is_met, detail }
    }

    fn measured(&self) -> String {
        self.measured.map_or_else(|| "too little".to_owned(), |measured| format!("{measured:.3}"))
    }
}

impl Display for Row {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {} {}\n  {}", self.figure, self.measured(), self.unit, self.detail)
    }
}

pub(crate) fn text(report: &Endpoints) -> String {
    let (machine, jobs) = (&report.machine, &report.jobs);
    let mut rows = numbers(["figure", "measured", "target", "", "met"]);
    for row in &report.rows {
        let cells = [row.measured(), format!("≤ {:.2}", row.target), row.unit.to_owned()];
        let met = if row.is_met { "yes" } else { "NO" };
        rows.add_row([row.figure.clone()].into_iter().chain(cells).chain([met.to_owned()]));
    }
    let details: Vec<_> = report.rows.iter().map(ToString::to_string).collect();
    format!(
        "hermod {} on {} cores ({}), {}\n\n{}\n\n{}\n\njobs: {} accepted, {} completed, {} failed, {} lost, {} doubled",
        machine.version,
        machine.cores,
        machine.cpu,
        machine.redis,
        rows.trim_fmt(),
        details.join("\n"),
        jobs.accepted,
        jobs.completed,
        jobs.failed,
        jobs.lost,
        jobs.doubled
    )
}
