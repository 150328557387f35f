//! What an operator does here. Each action is asked for first, by a page that works without a script; then it is done, and written
//! down with who has done it.

mod action;
mod perform;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::form::Fields;
use super::respond::{self, Page, UiError};
use super::{Site, Viewer, login};
use action::{Action, Question};

pub(super) use perform::said;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    question: Question,
    action: &'static str,
    /// What the form carries on, as names and values.
    fields: Vec<(&'static str, String)>,
    back: &'a str,
}

/// `GET /ui/confirm/{action}`: whether it is really to be done.
pub(super) async fn ask(
    http: HttpRequest,
    action: web::Path<String>,
    site: web::Data<Site>,
    viewer: Viewer,
) -> HttpResponse {
    let fields = Fields::of_query(http.query_string());
    answer(&viewer, question(&site, &viewer, &action, &fields).await)
}

/// `POST /ui/confirm/{action}`: the same for what was selected, which may be too much for a query. It changes nothing.
pub(super) async fn ask_many(
    http: HttpRequest,
    payload: web::Payload,
    action: web::Path<String>,
    site: web::Data<Site>,
    viewer: Viewer,
) -> HttpResponse {
    let asked = async {
        let fields = Fields::of_body(&http, payload, &site.ui).await?;
        question(&site, &viewer, &action, &fields).await
    };
    answer(&viewer, asked.await)
}

/// `POST /ui/act/{action}`: does it, and goes back.
pub(super) async fn act(
    http: HttpRequest,
    payload: web::Payload,
    action: web::Path<String>,
    site: web::Data<Site>,
    viewer: Viewer,
) -> HttpResponse {
    let done = async {
        may_act(&viewer)?;
        let fields = Fields::of_body(&http, payload, &site.ui).await?;
        let action = Action::parse(&action, &fields)?;
        let said = action.perform(&site.ui, &viewer.actor).await;
        site.ui.kept.forget();
        Ok(action.back_with(&said?))
    };
    answer(&viewer, done.await.map(|path| login::to(&path)))
}

fn answer(viewer: &Viewer, answer: Result<HttpResponse, UiError>) -> HttpResponse {
    answer.unwrap_or_else(|error| respond::failure(&error, Some(viewer)))
}

fn may_act(viewer: &Viewer) -> Result<(), UiError> {
    if viewer.rights.may_act { Ok(()) } else { Err(UiError::ReadOnly) }
}

async fn question(
    site: &Site,
    viewer: &Viewer,
    action: &str,
    fields: &Fields,
) -> Result<HttpResponse, UiError> {
    may_act(viewer)?;
    let action = Action::parse(action, fields)?;
    let question = action.question(&site.ui).await?;
    let (title, back) = (question.title.to_owned(), action.back());
    let confirm = Confirm { question, action: action.name(), fields: action.fields(), back: &back };
    let page = Page { title, html: confirm.render()? };
    Ok(respond::still(&page, Some(viewer), None))
}
