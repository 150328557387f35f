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
    pub(crate) park: Script,
    pub(crate) wake: Script,
    pub(crate) cool: Script,
    pub(crate) cooldowns: Script,
    pub(crate) probe: Script,
    pub(crate) requeue: Script,
    pub(crate) drop: Script,
    pub(crate) forget: Script,
    pub(crate) revive: Script,
    pub(crate) shards: Script,
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
            park: Script::new(include_str!("../lua/park.lua")),
            wake: Script::new(include_str!("../lua/wake.lua")),
            cool: Script::new(include_str!("../lua/cool.lua")),
            cooldowns: Script::new(include_str!("../lua/cooldowns.lua")),
            probe: Script::new(include_str!("../lua/probe.lua")),
            requeue: Script::new(include_str!("../lua/requeue.lua")),
            drop: Script::new(include_str!("../lua/drop.lua")),
            forget: Script::new(include_str!("../lua/forget.lua")),
            revive: Script::new(include_str!("../lua/revive.lua")),
            shards: Script::new(include_str!("../lua/shards.lua")),
        }
    }
}
