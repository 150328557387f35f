//! What messages and responses have in common where they are made of chat.

use super::Inexpressible;
use super::chat::{self, Fault, Kind, first_fault, object_of};
use super::text::out_of_bounds;
use crate::config::{Form, ProviderKind};
use crate::shape::string_of;
use crate::{Operation, RawObject};

/// Who is to serve it, and what its chat takes if that is not OpenAI's.
#[derive(Clone, Copy)]
pub(super) struct Served {
    pub(super) kind: ProviderKind,
    pub(super) own: Option<Kind>,
    operation: Operation,
}

impl Served {
    pub(super) fn of(kind: ProviderKind, operation: Operation) -> Self {
        Self { kind, own: Kind::of(kind), operation }
    }

    pub(super) fn without(self, path: &str, what: &str) -> Fault {
        let (kind, call) = (self.kind, self.operation.path());
        Fault::at(path, format!("{kind} serves {call} over chat, which has no `{what:.64}`"))
    }

    /// The first member that chat has by the same name and that cannot be said.
    pub(super) fn lacked(self, object: &RawObject<'_>) -> Option<Inexpressible> {
        let own = self.own?;
        let Form::PerPrompt { bounds, .. } = self.kind.form() else { return own.lacked(object) };
        out_of_bounds(self.kind, &bounds, object).or_else(|| own.lacked(object))
    }

    /// What is wrong with tools, of which those that are the client's have the type `own`.
    pub(super) fn tools(self, tools: &str, own: &str) -> Option<Fault> {
        let fault = first_fault(tools, |tool| {
            let tool = object_of(tool)?;
            match string_of(tool.get("type")) {
                Some(kind) if kind != own => Some(self.without("type", &kind)),
                Some(_) | None => needed(&tool, "name"),
            }
        });
        fault.or_else(|| chat::mixed(self.own?, tools, "strict"))
    }

    /// What is wrong with a choice of one function.
    pub(super) fn named_function(self, choice: &RawObject<'_>) -> Option<Fault> {
        let unsaid = self.own.and_then(Kind::named_function).map(|message| Fault::at("name", message));
        unsaid.or_else(|| needed(choice, "name"))
    }
}

/// What is wrong with an object that lacks this member.
pub(super) fn needed(object: &RawObject<'_>, name: &str) -> Option<Fault> {
    let is_there = object.get(name).is_some_and(|value| value.get() != "null");
    (!is_there).then(|| Fault::at(name, format!("`{name}` is needed")))
}
