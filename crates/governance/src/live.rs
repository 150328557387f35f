use std::sync::{Arc, PoisonError, RwLock};

use crate::Rules;

/// The rules as they are now, for all of a process. Cheap to clone; all clones see a change.
#[derive(Clone, Debug, Default)]
pub struct LiveRules(Arc<RwLock<Arc<Rules>>>);

impl LiveRules {
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Those of this moment. Whoever judges more than once for one request keeps them meanwhile.
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
