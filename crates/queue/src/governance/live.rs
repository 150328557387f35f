use std::sync::{Arc, PoisonError, RwLock};

use hermod_governance::{LiveRules, Rules};
use hermod_types::governance::Definitions;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Changes, DefinitionStore, PutDefinitions, StoredDefinitions};
use crate::{QueueError, Store};

/// What is defined, in a process's file and over HTTP, as it knows it; and its rules, which follow from that. Cheap to clone.
#[derive(Clone)]
pub struct LiveDefinitions(Arc<Inner>);

struct Inner {
    store: DefinitionStore,
    /// Those of the file.
    file: Arc<Rules>,
    rules: LiveRules,
    /// None before the first read.
    known: RwLock<Option<Arc<KnownDefinitions>>>,
    /// When the last look at the version began. Who looks holds it.
    looked: Mutex<Option<Instant>>,
}

/// All that was defined at one moment.
#[derive(Debug, Default)]
pub struct KnownDefinitions {
    pub stored: StoredDefinitions,
    rules: Arc<Rules>,
}

impl KnownDefinitions {
    /// Those of the file first, then those that are stored.
    pub fn all(&self) -> &Definitions {
        self.rules.definitions()
    }
}

impl LiveDefinitions {
    /// `rules` are those of the file as yet.
    pub fn new(store: &Store, rules: LiveRules) -> Self {
        Self(Arc::new(Inner {
            store: DefinitionStore::new(store),
            file: rules.current(),
            rules,
            known: RwLock::new(None),
            looked: Mutex::new(None),
        }))
    }

    /// Those of the file.
    pub fn file(&self) -> &Definitions {
        self.0.file.definitions()
    }

    /// Where the others are.
    pub fn store(&self) -> &DefinitionStore {
        &self.0.store
    }

    /// What is known; none before the first read.
    pub fn known(&self) -> Option<Arc<KnownDefinitions>> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sees to it that all is known that belongs to this version of what is stored. Returns whether something has changed.
    ///
    /// # Errors
    /// If Redis does not answer; what was known is known.
    pub async fn follow(&self, version: Option<&str>) -> Result<bool, QueueError> {
        let mut looked = self.0.looked.lock().await;
        let began = Instant::now();
        let changed = self.read_if_not(version).await?;
        *looked = Some(began);
        Ok(changed)
    }

    /// Sees to it that all is known that was defined when this was called: for what nobody here knows of. Those who call at once
    /// share one look.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn refresh(&self) -> Result<Arc<KnownDefinitions>, QueueError> {
        let asked = Instant::now();
        let mut looked = self.0.looked.lock().await;
        if let Some(known) = self.known().filter(|_| looked.is_some_and(|began| began > asked)) {
            return Ok(known);
        }
        let began = Instant::now();
        let version = self.0.store.version().await?;
        self.read_if_not(version.as_deref()).await?;
        *looked = Some(began);
        Ok(self.known().unwrap_or_default())
    }

    async fn read_if_not(&self, version: Option<&str>) -> Result<bool, QueueError> {
        let known = self.known();
        if known.as_ref().is_some_and(|known| known.stored.version.as_deref() == version) {
            return Ok(false);
        }
        let stored = self.0.store.read().await?;
        let changed = known.is_some() || stored.version.is_some();
        let all = stored.beside(self.file());
        self.set(stored, all);
        Ok(changed)
    }

    fn set(&self, stored: StoredDefinitions, all: Definitions) {
        self.0.rules.set(Rules::new(all));
        let known = Some(Arc::new(KnownDefinitions { stored, rules: self.0.rules.current() }));
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Writes and removes definitions, if they are what the caller has seen. This process knows of it at once: `all` is what is
    /// defined then, in the order of [`KnownDefinitions::all`].
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn put(
        &self,
        seen: &KnownDefinitions,
        changes: Changes,
        all: Definitions,
    ) -> Result<PutDefinitions, QueueError> {
        let mut looked = self.0.looked.lock().await;
        let began = Instant::now();
        let put = self.0.store.put(seen.stored.version.as_deref(), &changes).await?;
        if let PutDefinitions::Done(version) = &put {
            let mut stored = seen.stored.clone();
            stored.apply(changes, version.clone());
            self.set(stored, all);
            *looked = Some(began);
        }
        Ok(put)
    }
}
