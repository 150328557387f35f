mod body;
mod delivery;
mod endpoint;
mod hook;

use crate::Timestamp;
use crate::webhook::Endpoint;

/// 2026-02-19T08:10:17.831Z.
const NOW: Timestamp = Timestamp::from_millis(1_771_488_617_831);

/// An endpoint with these members besides those that must be there.
fn endpoint(members: &str) -> Endpoint {
    let comma = if members.is_empty() { "" } else { "," };
    let body = format!(
        r#"{{"name":"ci","url":"https://example.com/hook?a=b","events":["async_job.completed"]{comma}{members}}}"#
    );
    Endpoint::from_body(&body, NOW).unwrap()
}
