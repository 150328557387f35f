use actix_web::{HttpRequest, HttpResponse, Resource, Route, Scope, guard, web};
use hermod_service::{error_response, method_not_allowed, not_found, probes, public_probes, read_only};
use hermod_types::{BodyForm, ErrorBody, ErrorCode, Operation};

use crate::{admin, cancel, content, events, integration, jobs, metrics, poll, responses, submit, ui};

const ASYNC: &str = "/v1/async/";

/// What everybody may ask for. With a listener for operators, what is theirs is not among it.
pub(crate) fn public(routes: &mut web::ServiceConfig, is_operators_elsewhere: bool, has_ui: bool) {
    for operation in Operation::all().filter(|operation| operation.is_public()) {
        routes.service(endpoint(operation));
    }
    routes.service(read_only(&format!("{ASYNC}events"), None, events::of_key));
    routes.service(read_only(&format!("{ASYNC}jobs"), None, jobs::list));
    routes.service(
        web::resource(format!("{ASYNC}jobs/poll"))
            .route(web::post().to(jobs::poll))
            .default_service(web::to(async || method_not_allowed("POST", None))),
    );
    for resource in integration::resources().chain(responses::resources()) {
        routes.service(resource);
    }
    routes.configure(admin::routes);
    if !is_operators_elsewhere {
        routes.service(read_only("/metrics", None, metrics::metrics));
        if has_ui {
            routes.configure(ui::routes);
        }
    }
    public_probes(routes, is_operators_elsewhere);
    routes.default_service(web::to(unknown));
}

/// 404. Who asks for a call as OpenAI has it is told where its jobs go.
async fn unknown(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let below = ["/v1/", "/openai/v1/"].into_iter().find_map(|prefix| path.strip_prefix(prefix));
    let Some(operation) = below.and_then(Operation::from_path) else { return not_found(request).await };
    let message = format!("no such path: {path}; jobs are submitted to {ASYNC}{}", operation.path());
    error_response(&ErrorBody::new(ErrorCode::PathNotFound, message))
}

/// Submit, poll, content, events and cancel. Their handlers get the operation as application data.
fn endpoint(operation: Operation) -> Scope {
    let submit = match operation.form() {
        BodyForm::Json => web::post().to(submit::json),
        BodyForm::Multipart => web::post().to(submit::form),
    };
    web::scope(&format!("{ASYNC}{}", operation.path()))
        .app_data(web::Data::new(operation))
        .service(resource("", operation, "POST", [submit]))
        .service(resource(
            "/{id}",
            operation,
            "GET, HEAD, DELETE",
            [
                web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(poll::poll),
                web::delete().to(cancel::delete),
            ],
        ))
        .service(read_only("/{id}/content", Some(operation), content::content))
        .service(read_only("/{id}/events", Some(operation), events::of_job))
        .service(resource("/{id}/cancel", operation, "POST", [web::post().to(cancel::cancel)]))
}

/// What takes these methods, and answers 405 to all others.
pub(crate) fn resource(
    path: &str,
    operation: Operation,
    allow: &'static str,
    routes: impl IntoIterator<Item = Route>,
) -> Resource {
    let resource = routes.into_iter().fold(web::resource(path), Resource::route);
    resource.default_service(web::to(move || async move { method_not_allowed(allow, Some(operation)) }))
}

/// What a submit to this path asks for.
pub(crate) fn operation_of(path: &str) -> Option<Operation> {
    match path.strip_prefix(ASYNC) {
        Some(path) => Operation::from_path(path),
        None if responses::is_path(path) => Some(Operation::Responses),
        None => integration::operation_of(path),
    }
}

/// What operators ask for.
pub(crate) fn operators(routes: &mut web::ServiceConfig, has_ui: bool) {
    if has_ui {
        routes.configure(ui::routes);
    }
    routes
        .service(read_only("/metrics", None, metrics::metrics))
        .configure(probes)
        .default_service(web::to(not_found));
}
