use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};

use hermod_client::{Client, Job, JobRef};

use super::answer::Answer;
use super::{hinted, print, progress_bar};

/// Saves the media of a completed job in `path`, which is there once it is whole.
///
/// # Errors
/// If the job has none, the answer breaks off, or the file cannot be written.
pub(super) async fn save(api: &Client, job: &Job, index: Option<usize>, path: &Path) -> anyhow::Result<()> {
    let bytes = write(api, job.at(), index, path).await?;
    print(&format!("{}: {bytes} bytes", path.display()))?;
    if index.is_none() {
        Answer::of(job).others().iter().try_for_each(|other| print(other))?;
    }
    Ok(())
}

/// Writes the file, and counts its bytes.
async fn write(api: &Client, at: JobRef, index: Option<usize>, path: &Path) -> anyhow::Result<u64> {
    let mut content = api.content(at, index).await.map_err(hinted)?;
    let cannot_write = || format!("cannot write {}", path.display());
    // What the umask leaves of this, as with any new file.
    let permissions = Permissions::from_mode(0o666);
    let file =
        tempfile::Builder::new().prefix(".hermod-").permissions(permissions).tempfile_in(folder_of(path));
    let mut file = file.with_context(cannot_write)?;
    let bar = progress_bar(content.length())?;
    while let Some(chunk) = content.chunk().await? {
        file.write_all(&chunk).with_context(cannot_write)?;
        bar.inc(u64::try_from(chunk.len()).unwrap_or_default());
    }
    bar.finish_and_clear();
    file.persist(path).with_context(cannot_write)?;
    Ok(bar.position())
}

/// Refuses what cannot be a file, before anything is asked for.
///
/// # Errors
/// If there is no such folder, or it is a folder itself.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    ensure!(folder.is_dir(), "--output: there is no folder {}", folder.display());
    ensure!(!path.is_dir(), "--output: {} is a folder", path.display());
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use actix_web::{App, HttpResponse, HttpServer, web};
    use futures_util::stream::{self, StreamExt};
    use hermod_types::Operation;
    use serde_json::json;

    use super::*;

    const ID: &str = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";

    /// An API whose images are their number, and whose speech breaks off.
    fn start() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let app = || {
            App::new()
                .route(
                    &format!("/v1/async/images/edits/{ID}/content"),
                    web::get().to(async |http: actix_web::HttpRequest| {
                        HttpResponse::Ok().body(http.query_string().to_owned())
                    }),
                )
                .route(
                    &format!("/v1/async/audio/speech/{ID}/content"),
                    web::get().to(async || {
                        let end = stream::once(async {
                            tokio::task::yield_now().await;
                            Err(std::io::Error::other("broken"))
                        });
                        let pieces = stream::iter([Ok(web::Bytes::from_static(b"half"))]).chain(end);
                        HttpResponse::Ok().streaming(Box::pin(pieces))
                    }),
                )
                .default_service(web::to(async || {
                    HttpResponse::UnprocessableEntity().json(json!({"error": {"message": "no such bytes"}}))
                }))
        };
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run(),
        );
        Client::new(&url).unwrap()
    }

    fn at(operation: Operation) -> JobRef {
        JobRef { operation, id: ID.parse().unwrap() }
    }

    #[actix_web::test]
    async fn a_file_is_there_once_it_is_whole() {
        let api = start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.png");
        std::fs::write(&path, "what was there before").unwrap();
        assert_eq!(write(&api, at(Operation::ImageEdit), Some(2), &path).await.unwrap(), 7);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "index=2");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        let usual = folder.path().join("usual");
        std::fs::write(&usual, "").unwrap();
        assert_eq!(mode(&path), mode(&usual));

        for (operation, said) in [
            (Operation::Speech, format!("no answer from {} to its end", api.url())),
            (Operation::Ocr, "422 Unprocessable Entity: no such bytes".to_owned()),
        ] {
            let error = write(&api, at(operation), None, &path).await.unwrap_err();
            assert_eq!(error.to_string(), said);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "index=2", "it is as it was");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
        let nowhere = write(&api, at(Operation::ImageEdit), None, Path::new("/nowhere/a")).await;
        assert_eq!(nowhere.unwrap_err().to_string(), "cannot write /nowhere/a");
    }
}
