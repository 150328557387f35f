//! `/ui/live…`: a page again and again, as server-sent events, while somebody looks at it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BodyStream;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep};

use super::form::Fields;
use super::respond::{self, Page};
use super::view::View;
use super::{Rights, Site, Viewer};

/// How long a stream lasts. The browser connects again, and shows once more who it is.
const LENGTH: Duration = Duration::from_secs(120);
/// How long it is quiet at most.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// Has nginx send each event at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A page that somebody follows.
struct Following {
    site: web::Data<Site>,
    view: View,
    rights: Rights,
    /// What was sent last.
    last: Option<Arc<Page>>,
    /// What was said last instead.
    trouble: Option<String>,
    heard: Instant,
    until: Instant,
}

/// `GET /ui/live…`
pub(super) async fn follow(http: HttpRequest, site: web::Data<Site>, viewer: Viewer) -> HttpResponse {
    let path = http.path().strip_prefix("/ui/live").unwrap_or_default();
    let view = match View::parse(path, &Fields::of_query(http.query_string())) {
        Ok(view) => view,
        Err(error) => return respond::failure(&error, Some(&viewer)),
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((ACCEL_BUFFERING, "no"));
    if http.method() == Method::HEAD {
        return response.finish();
    }
    let now = Instant::now();
    let following = Following {
        site,
        view,
        rights: viewer.rights,
        last: None,
        trouble: None,
        heard: now,
        until: now + LENGTH,
    };
    let events = stream::unfold(Some(following), async |following| {
        let mut following = following?;
        let event = Box::pin(following.next()).await;
        Some((Ok::<_, Infallible>(event?), Some(following)))
    });
    response.body(BodyStream::new(Box::pin(events)))
}

impl Following {
    /// What is sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let site = web::Data::clone(&self.site);
        let (ui, mut is_first) = (&site.ui, self.last.is_none() && self.trouble.is_none());
        loop {
            let wait = Duration::from_secs(if is_first { 0 } else { self.view.seconds() });
            is_first = false;
            // None where the process is to stop.
            ui.draining.run_until_cancelled(sleep(wait)).await?;
            if Instant::now() > self.until {
                return None;
            }
            let event = match ui.page(&self.view, self.rights).await {
                Ok(page) if self.last.as_ref().is_some_and(|last| last.html == page.html) => None,
                Ok(page) => {
                    let event = event("page", &page.html);
                    (self.last, self.trouble) = (Some(page), None);
                    Some(event)
                }
                Err(error) => {
                    let text = error.to_string();
                    let is_new = self.trouble.as_ref() != Some(&text);
                    let event = is_new.then(|| event("trouble", &text));
                    (self.last, self.trouble) = (None, Some(text));
                    event
                }
            };
            if event.is_some() || self.heard.elapsed() > COMMENT_INTERVAL {
                self.heard = Instant::now();
                return Some(event.unwrap_or(Bytes::from_static(b":\n\n")));
            }
        }
    }
}

/// An event. A line of its data ends at a carriage return, too, which HTML has in another form.
fn event(name: &str, data: &str) -> Bytes {
    let data = data.replace('\r', "&#13;").replace('\n', "\ndata: ");
    format!("retry: 2000\nevent: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_data_in_lines() {
        let event = event("page", "<p>\n\r\nevent: x\n\n</p>");
        let text = std::str::from_utf8(&event).unwrap();
        let lines =
            "retry: 2000\nevent: page\ndata: <p>\ndata: &#13;\ndata: event: x\ndata: \ndata: </p>\n\n";
        assert_eq!(text, lines);
    }
}
