/// The media type of what has such a name, or is at such an address; none where the ending tells none.
pub fn media_type_of(name: &str) -> Option<&'static str> {
    let (_, ending) = name.split(['?', '#']).next()?.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "xml" => "text/xml",
        "json" => "application/json",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "aac" => "audio/aac",
        "aiff" => "audio/aiff",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/m4a",
        "mpga" => "audio/mp3",
        "opus" => "audio/opus",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_tells_the_type() {
        for (name, kind) in [
            ("a.b.PNG", Some("image/png")),
            ("https://x/y.jpg?size=1.5#z", Some("image/jpeg")),
            ("https://x.com/y", None),
            ("png", None),
        ] {
            assert_eq!(media_type_of(name), kind, "{name}");
        }
    }
}
