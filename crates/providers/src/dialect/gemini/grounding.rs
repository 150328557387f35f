//! Where a text has its facts from: <https://ai.google.dev/api/generate-content#GroundingMetadata>

use serde::Deserialize;

use crate::literal::Literal;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grounding<'a> {
    #[serde(borrow, default)]
    grounding_chunks: Vec<Chunk<'a>>,
    #[serde(default)]
    grounding_supports: Vec<Support>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    web: Option<Web<'a>>,
}

#[derive(Deserialize)]
struct Web<'a> {
    #[serde(borrow)]
    uri: Literal<'a>,
    #[serde(borrow, default)]
    title: Option<Literal<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Support {
    segment: Segment,
    #[serde(default)]
    grounding_chunk_indices: Vec<usize>,
}

/// From and to which byte of which part.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Segment {
    #[serde(default)]
    part_index: usize,
    #[serde(default)]
    start_index: usize,
    #[serde(default)]
    end_index: usize,
}

impl Grounding<'_> {
    /// OpenAI's annotations, each as JSON, which count characters of the whole text. `spoken` has the text of each part; none for a
    /// thought or a call.
    pub(super) fn annotations(&self, spoken: &[Option<String>]) -> Vec<String> {
        let mut found = Vec::new();
        if self.grounding_supports.is_empty() {
            return found;
        }
        let mut before = 0;
        let texts: Vec<_> = spoken
            .iter()
            .map(|text| {
                let characters: Vec<usize> =
                    text.iter().flat_map(|text| text.char_indices()).map(|(at, _)| at).collect();
                let start = before;
                before += characters.len();
                (start, characters)
            })
            .collect();
        for support in &self.grounding_supports {
            let Segment { part_index, start_index, end_index } = support.segment;
            let Some(Some(_)) = spoken.get(part_index) else { continue };
            let Some((before, characters)) = texts.get(part_index) else { continue };
            let place = |byte: usize| before + characters.partition_point(|at| *at < byte);
            let sources =
                support.grounding_chunk_indices.iter().filter_map(|index| self.grounding_chunks.get(*index));
            for web in sources.filter_map(|chunk| chunk.web.as_ref()) {
                found.push(format!(
                    "{{\"type\":\"url_citation\",\"url_citation\":{{\"start_index\":{},\"end_index\":{},\"title\":{},\"url\":{}}}}}",
                    place(start_index),
                    place(end_index),
                    web.title.as_ref().map_or("\"\"", Literal::as_json),
                    web.uri.as_json()
                ));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_characters_of_the_whole_text() {
        let json = r#"{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"maps":{}}],"groundingSupports":[
            {"segment":{"partIndex":2,"startIndex":2,"endIndex":5},"groundingChunkIndices":[0,1,7]},
            {"segment":{"partIndex":0},"groundingChunkIndices":[0]}]}"#;
        let grounding: Grounding<'_> = serde_json::from_str(json).unwrap();
        let spoken = [None, Some("äö".to_owned()), Some("éxyz".to_owned())];
        assert_eq!(
            grounding.annotations(&spoken),
            [
                r#"{"type":"url_citation","url_citation":{"start_index":3,"end_index":6,"title":"A","url":"https://a"}}"#
            ]
        );
    }
}
