use hermod_governance::Estimate;
use hermod_queue::JobRequest;

/// Bytes of a prompt that are taken for a token.
const BYTES_A_TOKEN: usize = 4;

/// What a job may use at most, as far as that is known before it runs.
pub(crate) fn estimate(job: &JobRequest) -> Estimate {
    let tokens = u64::try_from(job.body.len().div_ceil(BYTES_A_TOKEN)).unwrap_or(u64::MAX);
    Estimate { tokens, cost: 0 }
}
