//! The transitions' Lua, each compiled in from its own file.

use redis::Script;

/// The scripts; `Script` itself loads one again that Redis has lost.
pub(crate) struct Scripts {
    pub(crate) submit: Script,
    pub(crate) start: Script,
    pub(crate) renew: Script,
    pub(crate) progress: Script,
    pub(crate) finish: Script,
    pub(crate) release: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            submit: Script::new(include_str!("../lua/submit.lua")),
            start: Script::new(include_str!("../lua/start.lua")),
            renew: Script::new(include_str!("../lua/renew.lua")),
            progress: Script::new(include_str!("../lua/progress.lua")),
            finish: Script::new(include_str!("../lua/finish.lua")),
            release: Script::new(include_str!("../lua/release.lua")),
        }
    }
}
