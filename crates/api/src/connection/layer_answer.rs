//! Errors that the HTTP layer makes before there is a request, as our error answers.
//!
//! actix-http has no hook for them: it answers `400` to what is not HTTP and `431` to a head over 128 KiB or 96 headers with
//! a head alone, and closes. Where such a head is all that is written, another is written instead. Behind an answer that is
//! still on its way it stays as it is.

use std::time::SystemTime;

use actix_web::http::StatusCode;
use bytes::Bytes;
use hermod_types::{ErrorBody, ErrorCode};

use super::progress::STALL;
use crate::observe;

/// For a head that has begun and is not complete in time.
pub(super) fn timeout() -> Bytes {
    let message = format!("the head of the request did not arrive within {} s", STALL.as_secs());
    answer(StatusCode::REQUEST_TIMEOUT, ErrorCode::RequestTimeout, message)
}

/// What is to be written instead of `bytes`, should they be such a head.
pub(super) fn instead_of(bytes: &[u8]) -> Option<Bytes> {
    let is_bare = bytes.starts_with(b"HTTP/1.") && bytes.ends_with(b"\r\n\r\n");
    match bytes.get(9..12).filter(|_| is_bare)? {
        b"400" => {
            let message = "this is not a request of HTTP/1.1".to_owned();
            Some(answer(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message))
        }
        b"431" => {
            let message = "the head of the request is too large: more than 128 KiB, or 96 headers".to_owned();
            Some(answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorCode::InvalidRequest, message))
        }
        _ => None,
    }
}

fn answer(status: StatusCode, code: ErrorCode, message: String) -> Bytes {
    observe::count("(none)", "other", status);
    let body = ErrorBody { status_code: status.as_u16(), ..ErrorBody::new(code, message) };
    let (body, id) = (body.to_json(), uuid::Uuid::now_v7());
    let (date, length) = (httpdate::fmt_http_date(SystemTime::now()), body.len());
    Bytes::from(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\
         x-request-id: {id}\r\ndate: {date}\r\n\r\n{body}"
    ))
}
