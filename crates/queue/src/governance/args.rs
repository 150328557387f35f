use std::collections::HashMap;
use std::sync::Arc;

use hermod_governance::{Calendar, Limit, Measure, Window};
use serde::Serialize;

use crate::clock::millis;

/// The most that is asked of a limit, or allowed by one: beyond it Lua's numbers are not exact.
const MOST: u64 = 1 << 50;

/// How a script is shown a limit: name, most, window, kind, and 1 if it is a narrow one. A list, which costs Lua less to read than a map.
#[derive(Serialize)]
pub(super) struct LimitArgs<'a>(&'a str, u64, String, &'static str, u8);

/// Those of one call, each once.
#[derive(Default)]
pub(super) struct LimitList<'a> {
    pub(super) limits: Vec<LimitArgs<'a>>,
    places: HashMap<(&'a str, u64), usize>,
}

/// A place as Lua counts: from 1.
pub(super) fn lua_place(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1)
}

impl<'a> LimitList<'a> {
    /// The place of this one, from 0.
    pub(super) fn place(&mut self, limit: &'a Arc<Limit>) -> usize {
        let Self { limits, places } = self;
        *places.entry((&limit.name, limit.max)).or_insert_with(|| {
            limits.push(LimitArgs::of(limit));
            limits.len() - 1
        })
    }
}

impl<'a> LimitArgs<'a> {
    fn of(limit: &'a Limit) -> Self {
        let is_narrow = u8::from(limit.scope.is_narrow());
        Self(&limit.name, at_most(limit.max), definition(limit.window), kind(limit.measure), is_narrow)
    }
}

/// An amount that Lua can count.
pub(super) fn at_most(amount: u64) -> u64 {
    amount.min(MOST)
}

const fn kind(measure: Measure) -> &'static str {
    match measure {
        Measure::Requests => "requests",
        Measure::Tokens => "tokens",
        Measure::Cost => "cost",
        Measure::Running => "running",
    }
}

/// A window, as `governance.lua` names it.
fn definition(window: Window) -> String {
    match window {
        Window::Never => "n".to_owned(),
        Window::Rolling(length) => format!("r{}", millis(length).max(1)),
        Window::Calendar(Calendar::Day) => "d".to_owned(),
        Window::Calendar(Calendar::Week) => "w".to_owned(),
        Window::Calendar(Calendar::Month) => "m".to_owned(),
        Window::Calendar(Calendar::Quarter(first)) => format!("q{first}"),
        Window::Calendar(Calendar::Year) => "y".to_owned(),
    }
}
