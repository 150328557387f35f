//! The API describes itself. That its answers are as it says is asserted of each answer of each test: see `harness/described.rs`.

use std::collections::HashSet;

use hermod_tests::{Cluster, assert_valid, description};
use reqwest::Method;
use serde_json::{Value, json};

const METHODS: [&str; 5] = ["get", "head", "post", "put", "delete"];

/// Each path of the description, with its methods.
fn operations() -> impl Iterator<Item = (&'static String, &'static str, &'static Value)> {
    let paths = description()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| Some((path, method, item.get(method)?)))
    })
}

#[tokio::test]
async fn the_description_is_served_as_json_and_as_a_page() {
    let cluster = Cluster::builder().workers(0).start().await;
    let json = cluster.api.get("/openapi.json").await;
    assert_eq!((json.status, &json.json()), (200, description()));
    let page = cluster.api.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for missing in ["<script", "src=", "<link", "@import", "url(", " style=\""] {
        assert!(!page.text.contains(missing), "{missing} is on the page");
    }
    for (path, _, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let is_shown = page.text.contains(&format!("id=\"{id}\"")) && page.text.contains(path.as_str());
        assert!(is_shown || id.ends_with("Head"), "{id} is not on the page");
    }
    for path in ["/openapi.json", "/docs"] {
        let first = cluster.api.get(path).await;
        let again = cluster.api.request(Method::GET, path).header("if-none-match", first.header("etag"));
        let again = cluster.api.send(again).await;
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
        cluster.api.send(cluster.api.request(Method::POST, path)).await.error(405);
    }
}

#[tokio::test]
async fn each_path_of_the_description_is_there_with_its_methods() {
    let cluster = Cluster::builder().config(json!({"setup_token": "let me in"})).workers(0).start().await;
    for (path, method, operation) in operations() {
        let url = path.replace("{id}", "unknown").replace("{budget}", "unknown").replace("{name}", "unknown");
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let request = cluster.api.request(method.clone(), &url).header("x-bifrost-setup-token", "let me in");
        let answer = cluster.api.send(request).await;
        assert_ne!(answer.status, 405, "{method} {path}: {answer:?}");
        assert!(!answer.text.contains("path_not_found"), "{method} {path}: {answer:?}");
        let is_closed = answer.status == 401 && operation["tags"] != json!(["Sessions"]);
        assert!(!is_closed || !url.starts_with("/api/webhooks"), "{method} {path}: {answer:?}");
    }
}

#[test]
fn the_description_holds_together() {
    let mut ids = HashSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice: {method} {path}");
        for word in ["summary", "tags", "security", "responses"] {
            assert!(operation.get(word).is_some(), "{method} {path} has no {word}");
        }
    }
    let text = description().to_string();
    assert!(!text.contains('@'), "a word of a template was not replaced");
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(description().pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn examples_are_what_their_schemas_say() {
    let schemas = description()["components"]["schemas"].as_object().unwrap();
    let mut count = 0;
    for (name, schema) in schemas {
        if let Some(example) = schema.get("example") {
            assert_valid(&format!("/components/schemas/{name}"), example, name);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
