use std::collections::BTreeSet;

use actix_web::introspection::IntrospectionTree;
use actix_web::{App, HttpResponse, test, web};
use serde_json::Value;

use crate::routes;

/// Paths whose answers are pages for people.
const PAGES: &str = "/ui";

type Routes = BTreeSet<(String, String)>;

/// What the server has: each path with a method.
async fn routes_of_server() -> Routes {
    const HERE: &str = "/introspection";
    let tree = web::get()
        .to(async |tree: web::Data<IntrospectionTree>| HttpResponse::Ok().body(tree.report_as_json()));
    let app = App::new()
        .service(web::resource(HERE).route(tree))
        .configure(|routes| routes::public(routes, false, false));
    let app = test::init_service(app).await;
    let report = test::call_and_read_body(&app, test::TestRequest::get().uri(HERE).to_request()).await;
    let report: Vec<Value> = serde_json::from_slice(&report).unwrap();
    let resources = report.iter().filter(|item| item["resource_type"] == "resource");
    let mut found = Routes::new();
    for resource in resources {
        let path = resource["full_path"].as_str().unwrap();
        if path == HERE || path == PAGES || path.starts_with("/ui/") {
            continue;
        }
        let methods = resource["methods"].as_array().unwrap();
        assert!(!methods.is_empty(), "any method is taken at {path}");
        for method in methods {
            found.insert((path.to_owned(), method.as_str().unwrap().to_ascii_lowercase()));
        }
    }
    found
}

fn routes_of_document() -> Routes {
    let document = super::document().unwrap();
    let mut found = Routes::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|word| *word != "parameters");
        found.extend(methods.map(|method| (path.clone(), method.clone())));
    }
    found
}

#[actix_web::test]
async fn the_description_has_each_route_and_no_other() {
    let (server, document) = (routes_of_server().await, routes_of_document());
    let missing: Vec<_> = server.difference(&document).collect();
    assert!(missing.is_empty(), "the description lacks {missing:#?}");
    let invented: Vec<_> = document.difference(&server).collect();
    assert!(invented.is_empty(), "the server lacks {invented:#?}");
    assert!(server.len() > 150, "{}", server.len());
}
