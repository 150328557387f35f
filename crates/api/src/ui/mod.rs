//! The operator's page, `/ui`: HTML that the server writes, one style sheet and one small script, all from within this program.
//!
//! | module | |
//! |---|---|
//! | `guard` | who may see it, and what each answer tells the browser; `peer` judges hosts and origins, `cookie` has the session |
//! | `login` | the login, with the sessions of the administration |
//! | `view` | which page a path and a query name; `pages` writes each of them |
//! | `live` | the same pages again and again, as server-sent events |
//! | `act` | what an operator does: a question first, then the call that the command line makes, too |
//! | `respond` | the frame around a page, and what went wrong |
//! | `show`, `chart` | numbers, times and lines for the eye |
//!
//! Redis is asked only while somebody looks: a page that several look at is read once a second.

mod act;
mod assets;
mod chart;
mod cookie;
mod form;
mod guard;
mod live;
mod login;
mod pages;
mod peer;
mod respond;
mod show;
mod view;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{guard as method, middleware::from_fn, web};
use clap::{Args, ValueEnum};
use hermod_queue::{Admin, Lists, OutcomeReader, Positions, Queue};
use hermod_service::{Cached, read_only};
use hermod_types::ApiConfig;
use lru::LruCache;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, only};
use crate::governance::Governance;
use crate::memory::MemoryBudget;
use crate::webhooks::Endpoints;
use guard::Viewer;
use respond::{Page, UiError};
use view::View;

/// Pages that are kept for a second, for all who look at them.
const KEPT_PAGES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Whether there is the operator's page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[default]
    On,
    /// It shows, and changes nothing.
    ReadOnly,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    #[default]
    Off,
}

/// The settings of the operator's page.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct UiSettings {
    /// The operator's page, `/ui`: `read-only` shows and changes nothing.
    #[arg(long = "ui", env = "HERMOD_UI", value_enum, default_value_t = Mode::On)]
    mode: Mode,
    /// Whether that page may show requests and answers, which have what clients wrote.
    #[arg(long = "ui-content", env = "HERMOD_UI_CONTENT", value_enum, default_value_t = Switch::Off)]
    content: Switch,
}

/// What pages are made of. One for the whole process.
pub(crate) struct Ui {
    pub(crate) settings: UiSettings,
    pub(crate) config: Arc<ApiConfig>,
    /// Who may log in.
    pub(crate) logins: web::Data<admin::Admin>,
    pub(crate) admin: Admin,
    pub(crate) queue: Queue,
    pub(crate) outcomes: OutcomeReader,
    pub(crate) positions: Positions,
    /// None where jobs are not listed.
    pub(crate) lists: Option<Lists>,
    pub(crate) endpoints: Endpoints,
    pub(crate) governance: Governance,
    pub(crate) memory: MemoryBudget,
    /// Cancelled when the process is to stop: streams end then.
    pub(crate) draining: CancellationToken,
    pub(crate) kept: KeptPages,
}

/// Pages by what they show, each at most a second old.
pub(crate) struct KeptPages(Mutex<LruCache<(View, Rights), Kept>>);

type Kept = Arc<Cached<Shown>>;
type Shown = Result<Arc<Page>, UiError>;

/// What pages differ by besides what they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rights {
    pub(super) may_act: bool,
    pub(super) may_see_content: bool,
}

impl Default for KeptPages {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_PAGES)))
    }
}

impl KeptPages {
    fn of(&self, view: &View, rights: Rights) -> Kept {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.get_or_insert((view.clone(), rights), Arc::default))
    }

    /// After a change, the next look is at what is now.
    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Ui {
    /// A page, at most a second old.
    async fn page(&self, view: &View, rights: Rights) -> Shown {
        let kept = self.kept.of(view, rights);
        kept.get(async || Box::pin(view.page(self, rights)).await.map(Arc::new)).await
    }

    /// Whether there is one.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.mode != Mode::Off
    }

    fn rights(&self) -> Rights {
        Rights {
            may_act: self.settings.mode == Mode::On,
            may_see_content: self.settings.content == Switch::On,
        }
    }
}

/// Where the page is served.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) ui: Arc<Ui>,
    /// Whether only this machine reaches the listener.
    pub(crate) is_loopback: bool,
}

/// All of `/ui`. They need [`Site`] as application data.
pub(crate) fn routes(routes: &mut web::ServiceConfig) {
    let read = || web::route().guard(method::Any(method::Get()).or(method::Head()));
    routes.service(
        web::scope("/ui")
            .wrap(from_fn(guard::guard))
            .service(read_only("/style.css", None, assets::style))
            .service(read_only("/script.js", None, assets::script))
            .service(admin::methods(
                web::resource("/login").route(read().to(login::form)).route(web::post().to(login::log_in)),
                "GET, HEAD, POST",
            ))
            .service(only("/logout", "POST", web::post().to(login::log_out)))
            .service(read_only("/live{page:.*}", None, live::follow))
            .service(admin::methods(
                web::resource("/confirm/{action}")
                    .route(read().to(act::ask))
                    .route(web::post().to(act::ask_many)),
                "GET, HEAD, POST",
            ))
            .service(only("/act/{action}", "POST", web::post().to(act::act)))
            .service(read_only("/jobs/{id}/content", None, pages::content))
            .service(read_only("", None, view::show))
            .service(read_only("/{page:.*}", None, view::show)),
    );
}
