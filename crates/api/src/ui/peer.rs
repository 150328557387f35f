//! Whether a request comes from this machine, or from this site: what headers say of it.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::Version;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use url::{Host, Url};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What a proxy adds: then the peer is not who asks.
const FORWARDING: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Whether a program on this machine asks for this machine by its name: the peer is local, no proxy stands between, and the `Host` is
/// not one that a foreign name server has made point here.
pub(super) fn is_local(headers: &HeaderMap, peer: Option<SocketAddr>, version: Version) -> bool {
    let is_loopback = |address: IpAddr| match address {
        IpAddr::V6(address) => address.to_canonical().is_loopback(),
        IpAddr::V4(address) => address.is_loopback(),
    };
    // Browsers speak HTTP/1.1 and newer; some proxies speak 1.0, and say nothing of whom they speak for.
    peer.is_some_and(|peer| is_loopback(peer.ip()))
        && version >= Version::HTTP_11
        && !FORWARDING.iter().any(|name| headers.contains_key(*name))
        && one(headers, &HOST).is_some_and(is_loopback_host)
}

/// A `Host` that is this machine's: `localhost`, or a loopback address; with a port or without.
fn is_loopback_host(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    if !url.username().is_empty() || url.password().is_some() || url.path() != "/" {
        return false;
    }
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether a request that changes something comes from a page of this site: as the browser says, or, where it says nothing, by the
/// `Origin`. A program that sends neither is not let through: it has the administration's API.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    if headers.contains_key(&FETCH_SITE) {
        return one(headers, &FETCH_SITE) == Some("same-origin");
    }
    let authority = |text: &str| {
        let url = Url::parse(text).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
    };
    let (Some(origin), Some(host)) = (one(headers, &ORIGIN), one(headers, &HOST)) else { return false };
    let Some((scheme, _)) = origin.split_once("://") else { return false };
    let origin = authority(origin);
    // The scheme is the origin's: before a proxy with TLS, ours is another.
    origin.is_some() && origin == authority(&format!("{scheme}://{host}"))
}

/// Whether a page elsewhere wants this one as a part of itself. Whoever only follows a link from there may come.
pub(super) fn is_foreign_part(headers: &HeaderMap) -> bool {
    let is_foreign = matches!(one(headers, &FETCH_SITE), Some("cross-site" | "same-site"));
    is_foreign && one(headers, &FETCH_MODE) != Some("navigate")
}

/// Whether the browser came by TLS, as far as a proxy or the browser says so.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let is_forwarded = one(headers, &FORWARDED_PROTO).is_some_and(|proto| {
        proto.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
    });
    is_forwarded || one(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_this_machine_by_its_own_name_is_local() {
        let is = |peer: &str, lines: &[(&'static str, &str)], version| {
            is_local(&headers(lines), Some(peer.parse().unwrap()), version)
        };
        let (here, http) = ("127.0.0.1:9", Version::HTTP_11);
        for host in
            ["localhost", "localhost:8080", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:80"]
        {
            assert!(is(here, &[("host", host)], http), "{host}");
            assert!(is("[::1]:9", &[("host", host)], http), "{host}");
            assert!(is("[::ffff:127.0.0.1]:9", &[("host", host)], http), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1:8080",
            "x@localhost",
            "localhost/x",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is(here, &[("host", host)], http), "{host}");
        }
        assert!(!is("10.0.0.7:9", &[("host", "localhost")], http), "another machine");
        assert!(!is(here, &[], http) && !is_local(&headers(&[("host", "localhost")]), None, http));
        assert!(!is(here, &[("host", "localhost"), ("host", "localhost")], http), "twice");
        assert!(!is(here, &[("host", "localhost")], Version::HTTP_10), "a proxy");
        for proxy in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
            assert!(!is(here, &[("host", "localhost"), (proxy, "127.0.0.1")], http), "{proxy}");
        }
    }

    #[test]
    fn a_change_comes_from_a_page_of_this_site() {
        let is = |lines: &[(&'static str, &str)]| is_same_origin(&headers(lines));
        let (host, site) = (("host", "hermod.example:8080"), "sec-fetch-site");
        assert!(is(&[host, (site, "same-origin")]));
        for other in ["same-site", "cross-site", "none", ""] {
            assert!(!is(&[host, (site, other), ("origin", "http://hermod.example:8080")]), "{other}");
        }
        assert!(is(&[host, ("origin", "http://hermod.example:8080")]));
        assert!(is(&[("host", "hermod.example"), ("origin", "https://hermod.example")]), "behind TLS");
        assert!(is(&[("host", "hermod.example"), ("origin", "https://hermod.example:443")]));
        for origin in ["null", "", "http://hermod.example", "http://evil.example:8080", "hermod.example:8080"]
        {
            assert!(!is(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!is(&[host]) && !is(&[("origin", "http://hermod.example:8080")]));
    }

    #[test]
    fn a_link_from_elsewhere_may_be_followed() {
        let is = |lines: &[(&'static str, &str)]| is_foreign_part(&headers(lines));
        assert!(is(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]));
        assert!(is(&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]));
        assert!(!is(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        assert!(!is(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]) && !is(&[]));
    }

    #[test]
    fn tls_is_what_the_proxy_or_the_browser_says() {
        let is = |lines: &[(&'static str, &str)]| is_https(&headers(lines));
        assert!(is(&[("x-forwarded-proto", "https, http")]) && is(&[("origin", "https://a.example")]));
        assert!(!is(&[("x-forwarded-proto", "http")]) && !is(&[("origin", "http://a.example")]) && !is(&[]));
    }
}
