//! A request whose media must be read before it is sent, because it is signed.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hermod_providers::{Bill, MediaSource, ProviderCall, Providers, Replies, Verdict};
use hermod_types::config::Models;
use hermod_types::{Config, ErrorCode, Operation, Target};
use serde_json::json;

/// Media that are gone.
struct Gone;

impl MediaSource for Gone {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        Box::pin(async { Err(io::Error::other("gone")) })
    }
}

#[tokio::test]
async fn media_that_are_gone_cost_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let config = json!({"providers": {"bedrock": {
        "keys": [{"bedrock_key_config": {"access_key": "AKIDEXAMPLE", "secret_key": "secret"}}],
        "network_config": {"base_url": format!("http://{}", listener.local_addr().unwrap())},
    }}});
    let config = Config::from_json(&config.to_string(), &|_| None).unwrap();
    let providers = Providers::new(&config).unwrap();
    let target: Target = "bedrock/amazon.nova-canvas-v1:0".parse().unwrap();
    let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
    let permit = providers.permit(&target, Duration::from_secs(5)).await.unwrap();
    let (limit, replies) = (Duration::from_secs(60), Replies::default());
    let call = ProviderCall {
        trace: None,
        operation: Operation::ImageVariation,
        target: &target,
        media: Some(Arc::new(Gone)),
        body: r#"{"parts":[{"name":"image","bytes":3}]}"#,
        key,
        timeout: limit,
        limit,
        replies: &replies,
        meter: None,
        bill: &Bill::default(),
    };
    let error = providers.call(call, permit).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::UpstreamUnreachable);
    assert!(!error.may_be_billed && !error.blames_target);
    assert!(matches!(error.verdict, Verdict::Retry { .. }) && error.detail.message.contains("gone"));
    assert!(listener.accept().is_err(), "nobody was asked");
}
