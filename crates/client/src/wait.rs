use std::time::{Duration, Instant};

use crate::{Client, Error, Job};

/// How long the API is asked to hold an answer back; less than what a request may take, and than proxies bear.
pub(crate) const HOLD: &str = "wait=25";
/// How long an API may be away while a job is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The wait before the next try where the API does not say.
const RETRY: Duration = Duration::from_millis(500);

impl Client {
    /// Waits until the job has ended, completed or failed: the API says so at once. One that restarts meanwhile, or has no
    /// time (429, 502 to 504), is asked again for 30 s.
    ///
    /// There is no other limit of time. Wrap it in `tokio::time::timeout`: the job goes on, and can be waited for again.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if the job has expired or was deleted; or if there is no answer.
    pub async fn wait(&self, mut job: Job) -> Result<Job, Error> {
        let mut away_since = None;
        while !job.status().is_ended() {
            tokio::time::sleep(job.poll_after).await;
            let request = self.http.get(self.job_url(job.at())).header("prefer", HOLD);
            match self.poll(request, job.at()).await {
                Ok(shown) => {
                    job = shown;
                    away_since = None;
                }
                Err(error) if error.is_transient() => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    let wait = error.retry_after().unwrap_or(RETRY);
                    if since.elapsed() + wait > PATIENCE {
                        return Err(error);
                    }
                    job.poll_after = wait;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_web::{App, HttpResponse, HttpServer, web};
    use serde_json::json;

    use super::*;

    const ID: &str = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";

    /// An API that answers these statuses to the polls of a job of `ocr`, one after the other; 503 stands for itself.
    fn start(statuses: &'static [&'static str]) -> (Client, web::Data<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = Client::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let polls = web::Data::new(AtomicUsize::new(0));
        let shared = polls.clone();
        let app = move || {
            let poll = async move |polls: web::Data<AtomicUsize>| {
                let status = statuses[polls.fetch_add(1, Ordering::SeqCst)];
                if status == "503" {
                    let body = json!({"error": {"message": "away", "code": "redis_unavailable"}});
                    return HttpResponse::ServiceUnavailable().insert_header(("retry-after", 0)).json(body);
                }
                HttpResponse::Ok().insert_header(("openai-poll-after-ms", 20)).json(json!({"status": status}))
            };
            App::new().app_data(shared.clone()).route(&format!("/v1/async/ocr/{ID}"), web::get().to(poll))
        };
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run(),
        );
        (client, polls)
    }

    #[actix_web::test]
    async fn an_api_that_does_not_hold_its_answer_is_polled() {
        let (client, polls) = start(&["pending", "processing", "completed"]);
        let job = client.get(format!("ocr/{ID}").parse().unwrap()).await.unwrap();
        client.wait(job).await.unwrap().completed().unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), 3);
    }

    #[actix_web::test]
    async fn an_api_that_has_no_time_is_asked_again_and_told_apart_from_one_that_refuses() {
        let (client, polls) = start(&["pending", "503", "503", "completed"]);
        let at = format!("ocr/{ID}").parse().unwrap();
        client.wait(client.get(at).await.unwrap()).await.unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), 4);

        let (client, _) = start(&["503"]);
        let Err(Error::Refused(refused)) = client.get(at).await else { panic!("it was not refused") };
        assert_eq!(refused.to_string(), "503 Service Unavailable: away");
        assert_eq!(refused.code.as_deref(), Some("redis_unavailable"));
        assert_eq!(refused.retry_after, Some(Duration::ZERO));
    }
}
