/// A kind of document that a chat message may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    Pdf,
    /// Plain text, and whatever else is written as text: source code, JSON, XML.
    Text,
    Markdown,
    Html,
    Csv,
    Doc,
    Docx,
    Xls,
    Xlsx,
}

#[rustfmt::skip]
const KINDS: [(Document, &str, &str); 9] = [
    (Document::Pdf, "pdf", "application/pdf"),
    (Document::Text, "txt", "text/plain"),
    (Document::Markdown, "md", "text/markdown"),
    (Document::Html, "html", "text/html"),
    (Document::Csv, "csv", "text/csv"),
    (Document::Doc, "doc", "application/msword"),
    (Document::Docx, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (Document::Xls, "xls", "application/vnd.ms-excel"),
    (Document::Xlsx, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
];

impl Document {
    /// Told by the media type; where that is missing or says nothing, by the extension of the file's name.
    pub fn of(media_type: Option<&str>, filename: Option<&str>) -> Option<Self> {
        let says_nothing = |media_type: &&str| !matches!(*media_type, "" | "application/octet-stream");
        match media_type.filter(says_nothing) {
            Some(media_type) => Self::of_media_type(media_type),
            None => {
                let (_, extension) = filename?.rsplit_once('.')?;
                let extension = extension.to_ascii_lowercase();
                let extension = if extension == "htm" { "html" } else { extension.as_str() };
                KINDS.iter().find(|(_, known, _)| *known == extension).map(|(kind, ..)| *kind)
            }
        }
    }

    fn of_media_type(media_type: &str) -> Option<Self> {
        let known = KINDS.iter().find(|(.., known)| known.eq_ignore_ascii_case(media_type));
        let is_text = || {
            media_type.starts_with("text/") || matches!(media_type, "application/json" | "application/xml")
        };
        known.map(|(kind, ..)| *kind).or_else(|| is_text().then_some(Self::Text))
    }

    /// The extension of such a file's name: `pdf`, `txt`.
    pub const fn extension(self) -> &'static str {
        KINDS[self as usize].1
    }

    pub const fn media_type(self) -> &'static str {
        KINDS[self as usize].2
    }
}

// Each kind's row is found by its place in the enum.
const _: () = {
    let mut place = 0;
    while place < KINDS.len() {
        assert!(KINDS[place].0 as usize == place, "the rows stand in the order of the enum");
        place += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_told_by_its_type_else_by_its_name() {
        for (media_type, filename, document) in [
            (Some("application/pdf"), Some("notes.txt"), Some(Document::Pdf)),
            (Some("text/x-python"), None, Some(Document::Text)),
            (Some("application/octet-stream"), Some("A.B.PDF"), Some(Document::Pdf)),
            (None, Some("page.htm"), Some(Document::Html)),
            (None, Some("pdf"), None),
            (Some("image/png"), Some("x.pdf"), None),
            (None, None, None),
        ] {
            assert_eq!(Document::of(media_type, filename), document, "{media_type:?} {filename:?}");
        }
        assert_eq!((Document::Xlsx.extension(), Document::Html.media_type()), ("xlsx", "text/html"));
    }
}
