//! The Python SDKs of OpenAI and Anthropic, unmodified, from the Python Package Index.

use std::path::{Path, PathBuf};
use std::process::Command;

use hermod_tests::{Cluster, Gate, Receiver, SECRET};
use reqwest::Method;
use serde_json::json;

use crate::background_responses::NATIVE;

/// The SDKs and all that they need, each file with its hash.
const REQUIREMENTS: &str = include_str!("python_sdk.txt");

/// A folder with the SDKs, made once and kept beside the build.
fn python_with_sdks() -> PathBuf {
    let target = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned();
    let packages = target.join("openai-3.54.0-anthropic-2.14.0-pinned");
    let lock = std::fs::File::create(target.join("python-sdk.lock")).unwrap();
    lock.lock().unwrap();
    if !packages.join("anthropic").is_dir() {
        hermod_tests::pip::install(REQUIREMENTS, &packages).unwrap();
    }
    packages
}

const SCRIPT: &str = r#"
import os, time
from openai import OpenAI, BadRequestError, NotFoundError

client = OpenAI(base_url=os.environ["BASE_URL"], api_key="sk-unused")
job = client.completions.create(model="demo/fail-503", prompt="Hello", max_tokens=5,
                                extra_body={"fallbacks": ["demo/slow-500ms"]},
                                extra_headers={"x-bf-async-job-result-ttl": "60"})
assert job.status == "pending", job
print("submitted", job.id)
while True:
    raw = client.get(f"/completions/{job.id}", cast_to=object, options={})
    if raw["status"] in ("completed", "failed"):
        break
    time.sleep(0.1)
print(raw["status"], raw["result"]["choices"][0]["text"], raw["result"]["extra_fields"]["fallback_index"])

try:
    client.completions.create(model="gpt", prompt="x")
except BadRequestError as error:
    print(error.status_code, error.body["message"], error.body["param"])
try:
    client.get("/completions/0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70", cast_to=object, options={})
except NotFoundError as error:
    print(error.status_code, error.body["code"])
"#;

/// A job through each SDK's own call, with two headers; and a form, as the SDK writes one.
const OTHER_CALLS: &str = r#"
import os, time
from anthropic import Anthropic
from openai import OpenAI, BadRequestError

base = os.environ["BASE_URL"]

def ended(call, waits):
    job = call({"x-bf-async": "true"})
    print(type(job).__name__, waits(job), job.model)
    while True:
        answer = call({"x-bf-async-id": job.id})
        if not waits(answer):
            return answer
        time.sleep(0.05)

openai = OpenAI(base_url=base + "/openai/v1", api_key="sk-bf-team")
response = ended(lambda headers: openai.responses.create(model="slow-300ms", input="Hello", extra_headers=headers),
                 lambda job: job.status in ("pending", "processing"))
print(response.status, response.output_text, response.id[:5])

anthropic = Anthropic(base_url=base + "/anthropic", api_key="sk-bf-team")
message = ended(lambda headers: anthropic.messages.create(model="slow-300ms", max_tokens=9, extra_headers=headers,
                                                          messages=[{"role": "user", "content": "Hello"}]),
                lambda job: job.stop_reason is None)
print(message.stop_reason, message.content[0].text, message.id[:4])

jobs = OpenAI(base_url=base + "/v1/async", api_key="sk-bf-team")
job = jobs.audio.transcriptions.create(model="demo/echo", file=("talk.mp3", b"x" * 300000),
                                       timestamp_granularities=["word", "segment"], response_format="verbose_json")
while True:
    raw = jobs.get(f"/audio/transcriptions/{job.id}", cast_to=object, options={})
    if raw["status"] in ("completed", "failed"):
        break
    time.sleep(0.05)
print(raw["result"]["text"], len(raw["result"]["words"]), len(raw["result"]["segments"]))
try:
    jobs.images.edit(model="echo", image=b"x", prompt="x")
except BadRequestError as error:
    print(error.body["message"])
"#;

/// What OpenAI's own clients do with its background mode. `{id}`s are those that an earlier script has printed.
const CREATES: &str = r#"
import os
from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key="unused", max_retries=0)
for model in ("slow-2s", "anthropic/slow-2s"):
    response = client.responses.create(model=model, input="Hello", background=True, metadata={"order": "7"},
                                       instructions="Be brief.", max_output_tokens=100)
    assert response.status in ("queued", "in_progress") and response.background and response.output == [], response
    assert response.output_text == "" and response.metadata == {"order": "7"} and response.model == model, response
    print(response.id)
"#;

const RETRIEVES: &str = r#"
import os, time
from openai import OpenAI, APIStatusError, NotFoundError

client = OpenAI(base_url=os.environ["BASE_URL"], api_key="unused", max_retries=0)
for id in os.environ["IDS"].split():
    response = client.responses.retrieve(id)
    while response.status in {"queued", "in_progress"}:
        time.sleep(0.1)
        response = client.responses.retrieve(response.id)
    assert response.id == id and response.background and response.usage.output_tokens > 0, response
    print(response.status, response.output_text)

response = client.responses.create(model="anthropic/slow-300ms", input="Hello", max_output_tokens=100)
print(response.status, response.output_text, response.background, response.id[:5])

response = client.responses.create(model="hang", input="Hello", background=True, metadata={"order": "8"})
print(client.responses.cancel(response.id).status, client.responses.cancel(response.id).metadata["order"])
client.responses.delete(response.id)
try:
    client.responses.retrieve(response.id)
except NotFoundError as error:
    print(error.status_code, error.body["code"])

response = client.responses.create(model="fail-422", input="Hello", background=True)
while response.status in {"queued", "in_progress"}:
    time.sleep(0.1)
    response = client.responses.retrieve(response.id)
print(response.status, type(response.error).__name__, len(response.error.message) > 0)
try:
    OpenAI(base_url=os.environ["BASE_URL"], api_key="unused").responses.create(model="fail-422", input="Hello")
except APIStatusError as error:
    print(error.status_code, error.body["message"] == response.error.message)
"#;

/// A webhook's receiver, as OpenAI's documentation has it.
const UNWRAPS: &str = r#"
import json, os
from openai import OpenAI, InvalidWebhookSignatureError

client = OpenAI(api_key="unused", webhook_secret=os.environ["SECRET"])
for payload, headers in json.loads(os.environ["DELIVERIES"]):
    event = client.webhooks.unwrap(payload, headers)
    print(event.object, type(event).__name__, event.type, event.data.id, event.id[:4], event.created_at > 1700000000)
try:
    client.webhooks.unwrap(payload + " ", headers)
except InvalidWebhookSignatureError:
    print("another's")
"#;

/// What a script prints, line by line.
async fn run(cluster: &Cluster, script: &'static str, base: &str) -> Vec<String> {
    run_with(script, format!("{}{base}", cluster.api.url), &[]).await
}

/// The same with any address, and more of an environment.
pub(crate) async fn run_with(script: &str, base_url: String, environment: &[(&str, &str)]) -> Vec<String> {
    let mut python = Command::new("python3");
    python.arg("-c").arg(script).env("PYTHONPATH", python_with_sdks()).envs(environment.iter().copied());
    python.env("BASE_URL", base_url);
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_openai_sdk_submits_and_polls() {
    let cluster = Cluster::start().await;
    let lines = run(&cluster, SCRIPT, "/v1/async").await;
    assert!(lines[0].starts_with("submitted "), "{lines:?}");
    assert_eq!(
        lines[1..],
        ["completed Hello 1", "400 model should be in provider/model format model", "404 job_not_found",]
    );
    assert_eq!(cluster.calls()[0].body, r#"{"model":"fail-503","prompt":"Hello","max_tokens":5}"#);
}

#[tokio::test]
async fn each_sdk_has_its_own_call_wait() {
    let all = |provider: &str| json!({"provider": provider, "allowed_models": ["*"], "key_ids": ["*"]});
    let key = json!({"id": "vk-1", "name": "team", "value": "sk-bf-team",
        "provider_configs": [all("openai"), all("anthropic"), all("demo")]});
    let config = json!({
        "providers": {"openai": {"keys": [{"value": "k"}]}, "anthropic": {"keys": [{"value": "k"}]}},
        "client": {"enforce_auth_on_inference": true},
        "governance": {"virtual_keys": [key]},
    });
    let cluster = Cluster::builder().config(config).start().await;
    assert_eq!(
        run(&cluster, OTHER_CALLS, "").await,
        [
            "Response True slow-300ms",
            "completed Hello resp_",
            "Message True slow-300ms",
            "end_turn Hello msg_",
            "a recording of 300000 bytes named talk.mp3 7 1",
            "model should be in provider/model format",
        ]
    );
}

#[tokio::test]
async fn the_openai_sdk_runs_responses_in_the_background_of_any_provider() {
    let config =
        json!({"providers": {"openai": {"keys": [{"value": "k"}]}, "anthropic": {"keys": [{"value": "k"}]}}});
    let mut cluster = Cluster::builder().config(config).start().await;
    let ids = run(&cluster, CREATES, "/openai/v1").await.join(" ");
    cluster.called("slow-2s", 1).await;
    // All that was there is gone, but Redis.
    cluster.kill_api(0);
    drop(cluster.take_worker(0));
    cluster.add_api().await;
    cluster.add_worker().await;
    assert_eq!(
        run_with(RETRIEVES, format!("{}/openai/v1", cluster.api.url), &[("IDS", &ids)]).await,
        [
            "completed Hello",
            "completed Hello",
            "completed Hello False resp_",
            "cancelled 8",
            "404 job_not_found",
            "failed ResponseError True",
            "422 True",
        ]
    );
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_openai_sdk_verifies_and_reads_what_is_told_of_responses() {
    let (gate, receiver) = (Gate::answering(NATIVE), Receiver::start());
    gate.open();
    let mut config = gate.config();
    config["webhooks"] = json!([receiver.endpoint("mine", json!({}))]);
    config["providers"]["openai"] = json!({"keys": [{"value": "k"}]});
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let mut expected = Vec::new();
    for (model, event) in
        [("echo", "Completed"), ("fail-422", "Failed"), ("hang", "Cancelled"), ("gate/m", "Incomplete")]
    {
        let body = json!({"model": model, "input": "x", "background": true});
        let request = api.request(Method::POST, "/openai/v1/responses").header("x-bf-async-webhook", "mine");
        let response = api.send(request.body(body.to_string())).await.json();
        let id = response["id"].as_str().unwrap();
        if model == "hang" {
            cluster.called("hang", 1).await;
            api.send(api.request(Method::POST, &format!("/v1/responses/{id}/cancel"))).await;
        }
        let name = event.to_lowercase();
        expected.push(format!("event Response{event}WebhookEvent response.{name} {id} evt_ True"));
        receiver.receives(expected.len()).await;
    }
    let deliveries = receiver.received().into_iter().map(|told| {
        let headers =
            told.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
        json!([String::from_utf8(told.raw.to_vec()).unwrap(), headers.collect::<serde_json::Map<_, _>>()])
    });
    let deliveries = serde_json::Value::from_iter(deliveries).to_string();
    expected.push("another's".to_owned());
    let environment = [("SECRET", SECRET), ("DELIVERIES", &*deliveries)];
    assert_eq!(run_with(UNWRAPS, api.url.clone(), &environment).await, expected);
    cluster.assert_drained().await;
}
