use std::fmt::Write;

/// Gauges that are read for a scrape, in Prometheus's text format. What could not be read is absent: a number that stays as it was
/// would hide that nobody knows it.
#[derive(Clone, Debug, Default)]
pub struct Gauges(String);

impl Gauges {
    /// Adds a gauge without labels.
    pub fn add(&mut self, name: &str, help: &str, value: f64) {
        self.add_rows(name, help, [([], value)]);
    }

    /// Adds a gauge with a row for each set of labels, which must differ. A gauge without rows is not shown.
    pub fn add_rows<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = ([(&'static str, &'l str); N], f64)>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let mut lines = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in rows {
            lines += name;
            for (number, (label, text)) in labels.iter().enumerate() {
                lines.push(if number == 0 { '{' } else { ',' });
                lines += label;
                lines += "=\"";
                escape(text, &mut lines);
                lines.push('"');
            }
            if N > 0 {
                lines.push('}');
            }
            // Writing to a text does not fail.
            writeln!(lines, " {value}").unwrap_or_default();
        }
        lines.push('\n');
        self.0 += &lines;
    }

    /// Whether Redis answers this process, which each process shows.
    pub fn add_redis_up(&mut self, is_up: bool) {
        self.add(
            "hermod_redis_up",
            "Whether Redis answers this process: 1 or 0.",
            f64::from(u8::from(is_up)),
        );
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => *into += "\\\\",
            '"' => *into += "\\\"",
            '\n' => *into += "\\n",
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_a_gauge_without_rows_is_absent() {
        let mut gauges = Gauges::default();
        gauges.add("a", "One.", 3.0);
        gauges.add_rows("b", "Two.", [([("key", "x\"\\\ny"), ("limit", "z")], 0.5)]);
        gauges.add_rows::<1>("c", "Three.", []);
        let expected = "# HELP a One.\n# TYPE a gauge\na 3\n\n# HELP b Two.\n# TYPE b gauge\n\
                        b{key=\"x\\\"\\\\\\ny\",limit=\"z\"} 0.5\n\n";
        assert_eq!(gauges.as_str(), expected);
    }
}
