//! No connection goes where an endpoint may not go, however it is named. Each receiver here would have been reached without the check.

use hermod_types::webhook::PrivateNetwork;
use hermod_webhooks::{Certificate, Vault, Verdict};

use super::receiver::{Does, Receiver, answer};
use super::*;

fn ok() -> Does {
    Does::AnswersAndCloses(answer("200 OK", "connection: close\r\n", ""))
}

fn sender_of(answers: &[&[&str]], certificate: &[u8]) -> Sender {
    let trusted = Certificate::from_pem_bundle(certificate).unwrap();
    Sender::with(Arc::new(Scripted::new(answers)), &trusted).unwrap()
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called_unless_that_is_allowed() {
    let (receiver, certificate) = Receiver::start_tls(ok()).await;
    let endpoint = endpoint(&format!("https://hook.example:{}/", receiver.port), "");
    let sender = sender_of(&[&["127.0.0.1"]], &certificate);
    let refused =
        sender.send(Message { private_network: PrivateNetwork::Refused, ..message(&endpoint) }).await;
    assert_eq!((refused.verdict, refused.status), (Verdict::Retry { after: None }, None));
    assert!(refused.error.contains("the address 127.0.0.1 is private"), "{}", refused.error);
    assert_eq!(receiver.connections(), 0);
    // The same sender reaches it for an endpoint that allows it: its name is in the certificate and in `host`.
    assert_eq!(sender.send(message(&endpoint)).await.verdict, Verdict::Delivered);
    assert_eq!(receiver.received()[0].headers["host"], format!("hook.example:{}", receiver.port));
    // And the connection that this one had is none for the other.
    let refused =
        sender.send(Message { private_network: PrivateNetwork::Refused, ..message(&endpoint) }).await;
    assert_eq!((refused.status, receiver.connections()), (None, 1));
}

#[tokio::test]
async fn an_idle_connection_of_one_endpoint_is_none_for_another() {
    let (receiver, certificate) = Receiver::start_tls(Does::Answers(answer("200 OK", "", ""))).await;
    let endpoint = endpoint(&format!("https://hook.example:{}/", receiver.port), "");
    let sender = sender_of(&[&["127.0.0.1"]], &certificate);
    assert_eq!(sender.send(message(&endpoint)).await.verdict, Verdict::Delivered);
    let refused =
        sender.send(Message { private_network: PrivateNetwork::Refused, ..message(&endpoint) }).await;
    assert_eq!((refused.status, receiver.received().len()), (None, 1));
}

#[tokio::test]
async fn an_address_in_place_of_a_name_is_checked_too() {
    let (receiver, certificate) = Receiver::start_tls(ok()).await;
    let sender = sender_of(&[&["8.8.8.8"]], &certificate);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1"] {
        let endpoint = endpoint(&format!("https://{host}:{}/", receiver.port), "");
        let before = receiver.connections();
        let refused =
            sender.send(Message { private_network: PrivateNetwork::Refused, ..message(&endpoint) }).await;
        assert!(refused.error.contains("the address 127.0.0.1 is private"), "{host}: {}", refused.error);
        assert_eq!(receiver.connections(), before, "{host}");
        assert_eq!(sender.send(message(&endpoint)).await.verdict, Verdict::Delivered, "{host}");
    }
}

/// Leaves an endpoint's URL to be changed while it is stored.
fn with_url(endpoint: &Endpoint, from: &str, to: &str) -> Endpoint {
    let vault = Vault::new(None).unwrap();
    let stored = endpoint.to_stored(&vault).unwrap().replace(from, to);
    Endpoint::from_stored(&stored, &vault).unwrap()
}

#[tokio::test]
async fn what_is_never_called_is_not_called_even_if_it_was_stored() {
    let receiver = Receiver::start(ok()).await;
    // Linux would connect to itself.
    for host in ["0.0.0.0", "[::ffff:0.0.0.0]"] {
        let endpoint = endpoint(&format!("http://127.0.0.1:{}/", receiver.port), "");
        let endpoint = with_url(&endpoint, "127.0.0.1", host);
        let refused = sender().send(message(&endpoint)).await;
        assert!(refused.error.contains("is never called"), "{host}: {}", refused.error);
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_a_second_later_is_checked_each_time() {
    let receiver = Receiver::start(ok()).await;
    let endpoint = endpoint(&format!("http://hook.example:{}/", receiver.port), "");
    // Linux connects to itself at the second, too.
    let sender = sender_of(&[&["127.0.0.1"], &["0.0.0.0"]], b"");
    assert_eq!(sender.send(message(&endpoint)).await.verdict, Verdict::Delivered);
    receiver.until_all_have_ended().await;
    let refused = sender.send(message(&endpoint)).await;
    assert_eq!((refused.verdict, refused.status), (Verdict::Retry { after: None }, None));
    assert!(refused.error.contains("the address 0.0.0.0 is never called"), "{}", refused.error);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn all_addresses_of_a_name_must_be_allowed() {
    let receiver = Receiver::start(ok()).await;
    let endpoint = endpoint(&format!("http://hook.example:{}/", receiver.port), "");
    for addresses in [["127.0.0.1", "169.254.169.254"], ["169.254.169.254", "127.0.0.1"]] {
        let refused = sender_of(&[&addresses], b"").send(message(&endpoint)).await;
        assert!(refused.error.contains("the address 169.254.169.254 is never called"), "{}", refused.error);
    }
    let refused = sender_of(&[&[]], b"").send(message(&endpoint)).await;
    assert!(refused.error.contains("the name has no address"), "{}", refused.error);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn without_tls_nothing_is_sent_unless_a_private_network_is_allowed() {
    let receiver = Receiver::start(ok()).await;
    let endpoint = endpoint(&format!("http://hook.example:{}/", receiver.port), "");
    // Were it not for the scheme, this name would be fine.
    let sender = sender_of(&[&["8.8.8.8"]], b"");
    let refused =
        sender.send(Message { private_network: PrivateNetwork::Refused, ..message(&endpoint) }).await;
    assert_eq!(
        (refused.status, refused.error.as_str()),
        (None, "the receiver has no TLS (it requires allow_private_network)")
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_or_of_another_name_is_refused() {
    let (receiver, certificate) = Receiver::start_tls(ok()).await;
    let (_, unrelated) = Receiver::start_tls(ok()).await;
    let url = |host: &str| format!("https://{host}:{}/", receiver.port);
    for (host, trusted) in [("hook.example", &unrelated), ("other.example", &certificate)] {
        let refused = sender_of(&[&["127.0.0.1"]], trusted).send(message(&endpoint(&url(host), ""))).await;
        assert_eq!((refused.verdict, refused.status), (Verdict::Retry { after: None }, None));
        assert!(refused.error.to_lowercase().contains("certificate"), "{}", refused.error);
    }
    assert!(receiver.received().is_empty());
    let good =
        sender_of(&[&["127.0.0.1"]], &certificate).send(message(&endpoint(&url("hook.example"), ""))).await;
    assert_eq!(good.verdict, Verdict::Delivered);
}
