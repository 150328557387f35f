//! The `openai` Python SDK, unmodified, from the Python Package Index.

use std::path::{Path, PathBuf};
use std::process::Command;

use hermod_tests::Cluster;

/// The SDK and all that it needs, each file with its hash.
const REQUIREMENTS: &str = include_str!("python_sdk.txt");

/// A folder with the SDK, made once and kept beside the build.
fn python_with_sdk() -> PathBuf {
    let target = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned();
    let packages = target.join("openai-3.54.0-pinned");
    let lock = std::fs::File::create(target.join("python-sdk.lock")).unwrap();
    lock.lock().unwrap();
    if !packages.join("openai").is_dir() {
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

#[tokio::test]
async fn the_openai_sdk_submits_and_polls() {
    let cluster = Cluster::start().await;
    let mut python = Command::new("python3");
    python.arg("-c").arg(SCRIPT).env("PYTHONPATH", python_with_sdk());
    python.env("BASE_URL", format!("{}/v1/async", cluster.api.url));
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].starts_with("submitted "), "{printed}");
    assert_eq!(
        lines[1..],
        ["completed Hello 1", "400 model should be in provider/model format model", "404 job_not_found",]
    );
    assert_eq!(cluster.calls()[0].body, r#"{"model":"fail-503","prompt":"Hello","max_tokens":5}"#);
}
