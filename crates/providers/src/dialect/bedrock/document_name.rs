use std::collections::{HashMap, HashSet};

/// Names of the documents in one request. Each stands once, whatever its case, and has letters, digits, single blanks, hyphens, parentheses and square
/// brackets only: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>
#[derive(Debug, Default)]
pub(super) struct DocumentNames {
    /// In lower case.
    taken: HashSet<String>,
    /// The last number behind each name, in lower case.
    numbers: HashMap<String, usize>,
}

/// Characters of a name, with room for a number behind it in the 200 that are allowed.
const LONGEST: usize = 190;

impl DocumentNames {
    /// The name for the next document, which the client calls `filename`.
    pub(super) fn next(&mut self, filename: Option<&str>) -> String {
        let stem =
            filename.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem)).unwrap_or_default();
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
        let letters = stem.chars().take(LONGEST).map(|letter| if is_known(letter) { letter } else { ' ' });
        let words: String = letters.collect();
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        let name = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
        let number = self.numbers.entry(name.to_ascii_lowercase()).or_insert(1);
        let mut candidate = name.clone();
        while !self.taken.insert(candidate.to_ascii_lowercase()) {
            *number += 1;
            candidate = format!("{name} ({number})");
        }
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_a_name_that_is_allowed() {
        let mut names = DocumentNames::default();
        let mut next = |name| names.next(name);
        assert_eq!(next(Some("Q3_report.v2.pdf")), "Q3 report v2");
        assert_eq!(next(Some("q3  report/v2.txt")), "q3 report v2 (2)");
        assert_eq!(next(Some("\"},{\"text\":\"x.pdf")), "text x");
        assert_eq!((next(None), next(Some("é.pdf"))), ("document".to_owned(), "document (2)".to_owned()));
        assert_eq!(next(Some(&"x".repeat(500))).len(), LONGEST);
    }
}
