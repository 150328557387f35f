//! Multipart bodies, read as they arrive: files go to Redis piece by piece, fields stay in the [`Form`].

use std::cell::Cell;
use std::rc::Rc;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use hermod_queue::{PIECE_BYTES, Upload};
use hermod_types::{Form, FormPart, PartContent};
use multer::{Field, Multipart};
use send_wrapper::SendWrapper;

use crate::body::Body;
use crate::error::ApiError;
use crate::memory::Room;
use crate::once::{Contents, UnderWay};

/// The largest field, in bytes. A larger one is kept as a file is.
const MOST_TEXT: usize = 64 << 10;
/// The longest name, filename or media type of a part, in bytes.
const MOST_NAME: usize = 1 << 10;
/// The most that is held back until the headers of a part are whole, in bytes. It is more than one read of a connection, which may
/// bring headers and contents at once.
const MOST_HEADERS: usize = 256 << 10;

/// The most that the reader of the form is given at once, in bytes.
const MOST_CHUNK: usize = 64 << 10;

/// Whether the body says that it is a form of some kind.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers)
        .get(.."multipart/".len())
        .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}

/// What stands between the parts of the form.
///
/// # Errors
/// If the body is no form.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    multer::parse_boundary(content_type(headers)).map_err(failure)
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Where the contents of a form's files go, in order.
pub(crate) struct Files {
    pub(crate) upload: Upload,
    /// Their hash, where that is wanted.
    pub(crate) contents: Option<Contents>,
    /// What is told that something has come.
    pub(crate) under_way: Option<UnderWay>,
}

/// Reads a form.
///
/// `room` is for the fields and one piece. The form may have a part more than it may have: then the rest is not read.
///
/// # Errors
/// If it is no readable form, as [`Body::next`], if there is no room, or if Redis does not take a piece.
pub(crate) async fn read(
    mut body: Body,
    boundary: String,
    files: &mut Files,
    room: &mut Room,
) -> Result<Form, ApiError> {
    let held_back = Rc::new(Cell::new(0));
    // The form is read on the thread of its connection.
    let parts = SendWrapper::new(Box::pin(bounded(&mut body, Rc::clone(&held_back))));
    let mut parts = Multipart::new(parts, boundary);
    let mut reader = Reader { files, room, held_back, texts: 0 };
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await.map_err(failure)? {
        reader.held_back.set(0);
        form.parts.push(reader.part(part).await?);
        if form.parts.len() > Form::MAX_PARTS {
            return Ok(form);
        }
    }
    drop(parts);
    // What follows the end means nothing.
    body.pass_over().await?;
    Ok(form)
}

/// What a client sends, as long as the reader of the form makes something of it.
fn bounded(body: &mut Body, held_back: Rc<Cell<usize>>) -> impl Stream<Item = Result<Bytes, ApiError>> {
    // The reader of the form takes all that is there before it looks at any of it: it gets one chunk at a time, or a client that is
    // faster than Redis would seem to send headers without an end. One read of the connection may be as large as the bound itself.
    let chunks = stream::try_unfold((body, Bytes::new()), async |(body, mut read): (&mut Body, Bytes)| {
        tokio::task::yield_now().await;
        if read.is_empty() {
            let Some(next) = body.next().await? else { return Ok(None) };
            read = next;
        }
        let chunk = read.split_to(read.len().min(MOST_CHUNK));
        Ok(Some((chunk, (body, read))))
    });
    chunks.and_then(move |chunk| {
        held_back.set(held_back.get() + chunk.len());
        let is_bounded = held_back.get() <= MOST_HEADERS;
        let bounded =
            is_bounded.then_some(chunk).ok_or_else(|| broken("the headers of a part are too large"));
        std::future::ready(bounded)
    })
}

struct Reader<'a> {
    files: &'a mut Files,
    room: &'a mut Room,
    /// Bytes that have come since the reader of the form last gave something.
    held_back: Rc<Cell<usize>>,
    /// Bytes of fields and names so far.
    texts: usize,
}

impl Reader<'_> {
    async fn part(&mut self, mut part: Field<'_>) -> Result<FormPart, ApiError> {
        let header = part.headers().get("content-type").map(|value| value.to_str());
        let content_type = header.transpose().map_err(|_| broken("the media type of a part is not text"))?;
        let (content_type, filename) = (content_type.map(str::to_owned), part.file_name().map(str::to_owned));
        let name = part.name().ok_or_else(|| broken("a part has no name"))?.to_owned();
        for text in [Some(&name), filename.as_ref(), content_type.as_ref()].into_iter().flatten() {
            if text.len() > MOST_NAME {
                return Err(broken("the name, the filename or the media type of a part is too long"));
            }
            self.texts += text.len();
        }
        let content = self.content(&mut part, filename.is_some()).await?;
        Ok(FormPart { name, filename, content_type, content })
    }

    async fn content(&mut self, part: &mut Field<'_>, is_file: bool) -> Result<PartContent, ApiError> {
        let (mut text, mut is_file, start) = (Vec::new(), is_file, self.files.upload.bytes());
        while let Some(chunk) = part.chunk().await.map_err(failure)? {
            self.held_back.set(0);
            if !is_file && text.len() + chunk.len() > MOST_TEXT {
                is_file = true;
                self.push(Bytes::from(std::mem::take(&mut text))).await?;
            }
            if is_file {
                self.push(chunk).await?;
            } else {
                text.extend_from_slice(&chunk);
            }
        }
        if !is_file {
            match String::from_utf8(text) {
                Ok(text) => {
                    self.texts += text.len();
                    self.take_room()?;
                    return Ok(PartContent::Value(text));
                }
                Err(error) => self.push(Bytes::from(error.into_bytes())).await?,
            }
        }
        Ok(PartContent::Bytes(self.files.upload.bytes() - start))
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        let Files { upload, contents, under_way } = self.files;
        if let Some(contents) = contents {
            contents.add(&bytes);
        }
        if let Some(under_way) = under_way {
            under_way.moved();
        }
        let pushed = upload.push(bytes).await.map_err(ApiError::from_submit);
        self.take_room()?;
        pushed
    }

    fn take_room(&mut self) -> Result<(), ApiError> {
        let texts = u64::try_from(self.texts).unwrap_or(u64::MAX);
        self.room.grow_to(texts.saturating_add(self.files.upload.bytes().min(PIECE_BYTES as u64)))
    }
}

fn broken(what: &str) -> ApiError {
    ApiError::BrokenForm(what.to_owned())
}

/// Our own errors come back out of the reader as they went in.
fn failure(error: multer::Error) -> ApiError {
    let broken = ApiError::BrokenForm(error.to_string());
    let multer::Error::StreamReadFailed(ours) = error else { return broken };
    ours.downcast().map_or(broken, |ours| *ours)
}
