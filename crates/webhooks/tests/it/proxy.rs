//! A proxy of the environment is not used: it would connect to whatever it is told.

use std::process::Command;

use hermod_webhooks::Verdict;

use super::receiver::{Does, Receiver, answer};
use super::*;

/// Set in the process that runs the delivery.
const PROXIED: &str = "HERMOD_TEST_PROXIED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_is_not_used() {
    let receiver = Receiver::start(Does::Answers(answer("200 OK", "", ""))).await;
    if std::env::var_os(PROXIED).is_some() {
        let attempt = attempt(&format!("http://hook.example:{}/", receiver.port), LONG).await;
        assert_eq!(
            (attempt.verdict, receiver.received().len()),
            (Verdict::Delivered, 1),
            "{}",
            attempt.error
        );
        return;
    }
    // The variables of a process are set where it starts.
    let proxy = Receiver::start(Does::Answers(answer("200 OK", "", ""))).await;
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxy::a_proxy_of_the_environment_is_not_used", "--nocapture"]);
    child.env(PROXIED, "1").env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        child.env(variable, &address);
    }
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert_eq!(proxy.connections(), 0);
}
