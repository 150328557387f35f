//! Access tokens for Google's APIs: of a service account, or of the machine that we run on.
//!
//! - <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>
//! - <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>
//!
//! A token is kept until shortly before it ends. While one call gets it, others that want the same one wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hermod_types::config::KeyAccess;
use hermod_types::{ErrorCode, ErrorDetail};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::retry_after::retry_after;
use crate::transport::{Received, read_body, unreachable};
use crate::verdict::{self, Seen};
use crate::{CallError, Verdict};

/// What the token is to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest that an assertion may be good for.
const ASSERTION_SECONDS: u64 = 3600;
/// A token is not used for this long before its end: a call takes time.
const MARGIN: Duration = Duration::from_secs(60);
/// The metadata server of a machine at Google.
const MACHINE: &str =
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";

/// The tokens of one provider's keys, by whose they are.
#[derive(Debug)]
pub(crate) struct Tokens {
    cells: Mutex<HashMap<String, Arc<TokenCell>>>,
    machine: String,
}

/// Locked while its token is being got.
type TokenCell = tokio::sync::Mutex<Option<Token>>;

#[derive(Debug)]
struct Token {
    value: SecretString,
    good_until: Instant,
}

/// The file of a service account's key, as far as it is needed.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "token_uri")]
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

/// RFC 6749, 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

/// Why credentials are none.
#[derive(Debug)]
pub(crate) struct InvalidCredentials;

/// Whether a token can be asked for with what the key has, if it needs one.
pub(crate) fn check(access: &KeyAccess) -> Result<(), InvalidCredentials> {
    let KeyAccess::Vertex { auth_credentials: Some(credentials), .. } = access else { return Ok(()) };
    Account::read(credentials)?.assertion().map(drop)
}

impl Default for Tokens {
    fn default() -> Self {
        Self { cells: Mutex::default(), machine: MACHINE.to_owned() }
    }
}

impl Tokens {
    /// A token for a service account, or (without `credentials`) for the machine.
    ///
    /// # Errors
    /// If there is none to be had. A key that is refused is of no more use.
    pub(crate) async fn get(
        &self,
        credentials: Option<&SecretString>,
        client: &Client,
    ) -> Result<SecretString, CallError> {
        let account = credentials.map(Account::read).transpose().map_err(|_| unusable())?;
        let cell = self.cell(account.as_ref());
        let mut held = cell.lock().await;
        if let Some(token) = held.as_ref().filter(|token| Instant::now() < token.good_until) {
            return Ok(token.value.clone());
        }
        let request = match &account {
            Some(account) => account.request(client)?,
            None => client.get(&self.machine).header("Metadata-Flavor", "Google"),
        };
        let token = request_token(request).await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    /// Gives up a token that was refused, unless there is a newer one already.
    pub(crate) fn forget(&self, credentials: Option<&SecretString>, refused: &SecretString) {
        let Ok(account) = credentials.map(Account::read).transpose() else { return };
        // A cell that is locked is about to hold another token.
        if let Ok(mut held) = self.cell(account.as_ref()).try_lock() {
            held.take_if(|token| token.value.expose_secret() == refused.expose_secret());
        }
    }

    fn cell(&self, account: Option<&Account>) -> Arc<TokenCell> {
        let name = account.map(Account::name).unwrap_or_default();
        Arc::clone(self.cells.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default())
    }
}

impl Account {
    fn read(credentials: &SecretString) -> Result<Self, InvalidCredentials> {
        serde_json::from_str(credentials.expose_secret()).map_err(|_| InvalidCredentials)
    }

    /// Tells it from others, and one of its keys from another. It is no secret.
    fn name(&self) -> String {
        format!("{} {}", self.client_email, self.private_key_id.as_deref().unwrap_or_default())
    }

    /// What shows that we have its key: a JWT that it signs (RFC 7523).
    fn assertion(&self) -> Result<String, InvalidCredentials> {
        let key = EncodingKey::from_rsa_pem(self.private_key.as_bytes()).map_err(|_| InvalidCredentials)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = Claims {
            iss: &self.client_email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat: now,
            exp: now + ASSERTION_SECONDS,
        };
        let header = Header { kid: self.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &key).map_err(|_| InvalidCredentials)
    }

    fn request(&self, client: &Client) -> Result<RequestBuilder, CallError> {
        let assertion = self.assertion().map_err(|_| unusable())?;
        // Neither has a character that a form would escape, but for the colons.
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        Ok(client.post(&self.token_uri).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form))
    }
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

async fn request_token(request: RequestBuilder) -> Result<Token, CallError> {
    let asked = Instant::now();
    let about_it = |mut error: CallError| {
        error.detail.message = format!("no access token: {}", error.detail.message);
        error
    };
    let response = request.send().await.map_err(unreachable).map_err(about_it)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, &Received::new(0, None)).await.map_err(about_it)?;
    if !status.is_success() {
        return Err(refusal(status, &headers, &body));
    }
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
        let message = "the answer to the request for one has none";
        about_it(CallError::ours(ErrorCode::UpstreamInvalidResponse, message))
    })?;
    let good_for = Duration::from_secs(granted.expires_in).saturating_sub(MARGIN);
    // What does not fit on the clock is not kept.
    let good_until = asked.checked_add(good_for).unwrap_or(asked);
    Ok(Token { value: granted.access_token.into(), good_until })
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let status = status.as_u16();
    let refused: Option<Refused> = serde_json::from_slice(body).ok();
    let (code, why) = refused.map_or((None, String::new()), |refused| {
        let description = refused.error_description.map(|text| format!(": {text}")).unwrap_or_default();
        (Some(refused.error.clone()), format!(": {}{description}", refused.error))
    });
    let detail = ErrorDetail {
        message: format!("an access token was refused with {status}{why}"),
        code,
        ..ErrorDetail::default()
    };
    // Also where the status is 400 it is the key that is wrong: the request is not the client's. A machine without an
    // identity answers 404.
    let judged = if matches!(status, 400..=404) { 401 } else { status };
    let after = retry_after(headers, SystemTime::now());
    let seen = Seen { status: judged, message: &detail.message, after, ..Seen::default() };
    let (verdict, blames_target) = verdict::of_answer(&seen);
    CallError {
        code: ErrorCode::UpstreamError,
        status: judged,
        verdict,
        blames_target,
        may_be_billed: false,
        detail: Box::new(detail),
    }
}

fn unusable() -> CallError {
    let message = "vertex_key_config.auth_credentials is not the JSON of a service account";
    let error = CallError::ours(ErrorCode::UpstreamCredentialsExhausted, message);
    CallError { verdict: Verdict::NextKey, ..error }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_machine_at_google_has_a_token_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let machine = format!("http://{}/token", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head: Vec<_> = BufReader::new(&stream)
                .lines()
                .map(|line| line.unwrap().to_ascii_lowercase())
                .take_while(|line| !line.is_empty())
                .collect();
            let body = r#"{"access_token":"ya29.machine","expires_in":3599,"token_type":"Bearer"}"#;
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            head
        });
        let tokens = Tokens { machine, ..Tokens::default() };
        let client = Client::builder().no_proxy().build().unwrap();
        for _ in 0..2 {
            // The second is from memory: nobody would answer it.
            assert_eq!(tokens.get(None, &client).await.unwrap().expose_secret(), "ya29.machine");
        }
        let head = server.join().unwrap();
        assert_eq!(head[0], "get /token http/1.1");
        assert!(head.contains(&"metadata-flavor: google".to_owned()), "{head:?}");
    }
}
