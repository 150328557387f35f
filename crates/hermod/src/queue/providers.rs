use hermod_queue::ProviderFigures;

use crate::table::table;

pub(super) fn text(figures: &[ProviderFigures]) -> String {
    if figures.is_empty() {
        return "no call has ended in this time".to_owned();
    }
    let mut rows = table(["PROVIDER", "MODEL", "CALLS", "ERRORS", "P50", "P95"]);
    for of in figures {
        let took = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        rows.add_row([
            of.provider.clone(),
            of.model.clone(),
            of.calls.to_string(),
            of.errors.to_string(),
            took(of.p50_ms),
            took(of.p95_ms),
        ]);
    }
    rows.trim_fmt()
}
