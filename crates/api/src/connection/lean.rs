//! Memory of requests that wait.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, HOST, HeaderMap, HeaderName, ORIGIN,
    PRAGMA, REFERER, USER_AGENT,
};

use crate::prefer;

/// What no handler reads.
static UNREAD: [HeaderName; 10] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONNECTION,
    HOST,
    ORIGIN,
    PRAGMA,
    REFERER,
    USER_AGENT,
];
/// What the names of others begin with: a browser's, an SDK's, a proxy's.
const UNREAD_PREFIXES: [&str; 3] = ["sec-", "x-stainless-", "x-forwarded-"];
/// What is read all the same.
const READ: &str = "x-stainless-retry-count";

/// Frees most of what the head of a request takes that may wait for a minute, or for as long as a job runs.
///
/// actix-http makes room for 16 headers and more in each head: 6.7 KB, a third of what a client that waits would cost.
pub(super) fn lighten(request: &mut ServiceRequest) {
    // Who wants a Response at once waits, too.
    let is_of_those = ["/events", "/responses"].iter().any(|end| request.path().ends_with(end));
    if !is_of_those && !request.headers().contains_key(prefer::PREFER) {
        return;
    }
    let all = std::mem::take(request.headers_mut());
    let is_read = |(name, _): &(&HeaderName, _)| is_read(name);
    // A map of exactly this size: it would double while it grows.
    let mut read = HeaderMap::with_capacity(all.iter().filter(is_read).count());
    for (name, value) in all.into_iter().filter(|(name, _)| self::is_read(name)) {
        read.append(name, value);
    }
    *request.headers_mut() = read;
}

fn is_read(name: &HeaderName) -> bool {
    name.as_str() == READ
        || !UNREAD.contains(name) && !UNREAD_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}
