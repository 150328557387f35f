use actix_web::http::header::{COOKIE, HeaderMap};

/// What it is called.
const NAME: &str = "hermod_ui";

/// The session that a request shows.
pub(super) fn session_of(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    })
}

/// What has the browser keep a session, until it is closed. No script reads it, no other site has it sent.
pub(super) fn keep(token: &str, is_secure: bool) -> String {
    format!("{NAME}={token}; {}", attributes(is_secure))
}

/// What has the browser forget it.
pub(super) fn forget(is_secure: bool) -> String {
    format!("{NAME}=; Max-Age=0; {}", attributes(is_secure))
}

fn attributes(is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("HttpOnly; SameSite=Strict; Path=/ui{secure}")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(session_of(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("a=b; hermod_ui=abc ;c"));
        assert_eq!(session_of(&headers), Some("abc"));
        assert_eq!(keep("abc", true), "hermod_ui=abc; HttpOnly; SameSite=Strict; Path=/ui; Secure");
        assert_eq!(forget(false), "hermod_ui=; Max-Age=0; HttpOnly; SameSite=Strict; Path=/ui");
    }
}
