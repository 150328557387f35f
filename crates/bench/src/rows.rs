//! Figures and their targets, as `--endpoints` and `--delivery` report them.

use std::fmt::{Display, Formatter};
use std::io::Write;

use serde::Serialize;

use crate::measure::Look;
use crate::phases::machine;
use crate::report::{Jobs, Machine};
use crate::table::numbers;

/// The report of a run that is about such figures.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
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
    /// None for one that is only told.
    pub(crate) target: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) is_met: bool,
    /// What it is made of.
    pub(crate) detail: String,
}

impl Row {
    pub(crate) fn new(
        figure: impl Into<String>,
        measured: impl Into<Option<f64>>,
        target: impl Into<Option<f64>>,
        unit: &'static str,
        detail: String,
    ) -> Self {
        let (measured, target) = (measured.into(), target.into());
        let is_met = target.is_none_or(|target| measured.is_some_and(|measured| measured <= target));
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

impl Figures {
    pub(crate) fn new(look: &Look, jobs: Jobs, rows: Vec<Row>) -> Self {
        Self { machine: machine(look), jobs, rows }
    }

    /// As a person reads it.
    pub(crate) fn text(&self) -> String {
        let (machine, jobs) = (&self.machine, &self.jobs);
        let mut rows = numbers(["figure", "measured", "target", "", "met"]);
        for row in &self.rows {
            let target = row.target.map_or_else(String::new, |target| format!("≤ {target:.2}"));
            let met = match (row.target, row.is_met) {
                (None, _) => "",
                (Some(_), true) => "yes",
                (Some(_), false) => "NO",
            };
            let cells = [row.measured(), target, row.unit.to_owned(), met.to_owned()];
            rows.add_row([row.figure.clone()].into_iter().chain(cells));
        }
        let details: Vec<_> = self.rows.iter().map(ToString::to_string).collect();
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
}

/// Keeps rows, and shows them at once: what comes later may fail.
pub(crate) fn said(rows: &mut Vec<Row>, new: impl IntoIterator<Item = Row>) {
    for row in new {
        // A terminal that cannot be written to is no reason to stop.
        drop(writeln!(std::io::stderr(), "{row}"));
        rows.push(row);
    }
}

/// The middle one; the mean of the two in the middle of an even number; none of none.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let lower = figures.get(figures.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *figures.get(figures.len() / 2)?))
}

/// Ours ÷ theirs; none where so little was done that the kernel has not counted it.
pub(crate) fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((median(vec![]), ratio(1.0, 0.0), ratio(1.0, 2.0)), (None, None, Some(0.5)));
    }

    #[test]
    fn a_figure_without_a_target_is_only_told() {
        let row = |measured, target| Row::new("x", measured, target, "", String::new()).is_met;
        assert!(row(Some(1.0), Some(1.0)) && row(None, None) && row(Some(1.0), None));
        assert!(!row(Some(1.1), Some(1.0)) && !row(None, Some(1.0)));
    }
}
