//! Building the body of a provider's request, with prompts of 1 KB, 64 KB and 1 MB.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};

// It is the crate's own matter, and stays so.
#[path = "../src/request_body.rs"]
#[expect(dead_code, reason = "only native requests are measured")]
mod request_body;

const SIZES: [(&str, usize); 3] = [("1 KB", 1 << 10), ("64 KB", 64 << 10), ("1 MB", 1 << 20)];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("build a provider's request");
    for (name, bytes) in SIZES {
        let body = format!(r#"{{"prompt":"{}","max_tokens":256,"temperature":0.7}}"#, "w".repeat(bytes));
        group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap_or_default()));
        group.bench_with_input(BenchmarkId::from_parameter(name), body.as_str(), |bencher, body| {
            bencher.iter(|| {
                let model = black_box("gpt-3.5-turbo-instruct");
                request_body::native(model, black_box(body), |name, value| Some((name, value.into())))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
