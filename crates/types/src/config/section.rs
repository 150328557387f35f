//! Reading a file member by member: what is wrong is noted with its path, and reading goes on.

use std::cell::RefCell;
use std::collections::HashSet;

use secrecy::SecretString;

use super::node::Node;
use super::suggest::nearest;
use super::{ConfigError, Environment};
use crate::webhook::SigningSecret;

/// What was found while a file was read.
pub(super) struct Report<'e> {
    environment: Environment<'e>,
    errors: RefCell<Vec<ConfigError>>,
    ignored: RefCell<Vec<String>>,
}

impl<'e> Report<'e> {
    pub(super) const fn new(environment: Environment<'e>) -> Self {
        Self { environment, errors: RefCell::new(Vec::new()), ignored: RefCell::new(Vec::new()) }
    }

    /// Notes that the file cannot be used, and why.
    pub(super) fn wrong(&self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.borrow_mut().push(ConfigError::Shape { path: path.into(), message: message.into() });
    }

    fn members_of(&self, path: &str, node: Node) -> Vec<(String, Node)> {
        let Node::Object(members) = node else {
            self.wrong(if path.is_empty() { "the file" } else { path }, "expected an object");
            return Vec::new();
        };
        let mut seen = HashSet::new();
        for (name, _) in members.iter().filter(|(name, _)| !seen.insert(name.as_str())) {
            self.wrong(join(path, name), "is given twice");
        }
        members
    }

    /// How many errors were found so far.
    pub(super) fn errors(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Whether there is such an error.
    pub(super) fn any(&self, is_it: impl Fn(&ConfigError) -> bool) -> bool {
        self.errors.borrow().iter().any(is_it)
    }

    /// The errors, and the paths of what was ignored.
    pub(super) fn into_parts(self) -> (Vec<ConfigError>, Vec<String>) {
        (self.errors.into_inner(), self.ignored.into_inner())
    }
}

/// An object of the file. Each member that is asked for is thereby known; the others are ignored, or misspelt.
pub(super) struct Section<'r> {
    report: &'r Report<'r>,
    path: String,
    members: Vec<(String, Node)>,
    /// Names that were asked for and found.
    taken: Vec<&'static str>,
    /// Names that were asked for and not found.
    absent: Vec<&'static str>,
    /// Whether `env.NAME` stands for the variable's value; otherwise it stays as it is.
    resolves: bool,
}

impl<'r> Section<'r> {
    /// The object that is the file.
    pub(super) fn root(node: Node, report: &'r Report<'r>) -> Self {
        Self::new(report, String::new(), node, true)
    }

    fn new(report: &'r Report<'r>, path: String, node: Node, resolves: bool) -> Self {
        let members = report.members_of(&path, node);
        Self { report, path, members, taken: Vec::new(), absent: Vec::new(), resolves }
    }

    /// The same without the values of variables: they are not looked up, and may be unset.
    pub(super) fn unresolved(self) -> Self {
        Self { resolves: false, ..self }
    }

    /// The path of a member, or of an element, `[0]`.
    pub(super) fn path_of(&self, member: &str) -> String {
        join(&self.path, member)
    }

    /// Notes that the file cannot be used because of this member; an empty one is the section itself.
    pub(super) fn wrong(&self, member: &str, message: impl Into<String>) {
        self.report.wrong(self.path_of(member), message);
    }

    /// Whether something is wrong with this member, or with what is in it.
    pub(super) fn blames(&self, member: &str) -> bool {
        let path = self.path_of(member);
        let is_it = |error: &ConfigError| {
            let rest = error.path().strip_prefix(&path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.report.any(is_it)
    }

    /// The same without taking it.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.members.iter().any(|(member, node)| member == name && !matches!(node, Node::Null))
    }

    /// The strings of this name in the objects of an array, with their places in it. They count as read.
    pub(super) fn take_texts(&mut self, array: &str, name: &str) -> Vec<(usize, String)> {
        let Some((_, Node::Array(elements))) = self.members.iter_mut().find(|(member, _)| member == array)
        else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, element) in elements.iter_mut().enumerate() {
            let Node::Object(members) = element else { continue };
            let Some(place) = members.iter().position(|(member, _)| member == name) else { continue };
            if let Node::Text(text) = &members[place].1 {
                texts.push((index, text.clone()));
                members.remove(place);
            }
        }
        texts
    }

    /// A member that is known, if it is there, but that no slip is taken for.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Node> {
        self.members.iter().any(|(member, _)| member == name).then(|| self.take(name)).flatten()
    }

    /// Whether a member is there, and not null.
    pub(super) fn has(&mut self, name: &'static str) -> bool {
        self.take(name).is_some()
    }

    /// Knows these members, and reads none of them.
    pub(super) fn pass_over(&mut self, names: &[&'static str]) {
        for name in names {
            self.take(name);
        }
    }

    /// A member's value; none where it is absent or null.
    fn take(&mut self, name: &'static str) -> Option<Node> {
        let Some(index) = self.members.iter().position(|(member, _)| member == name) else {
            self.absent.push(name);
            return None;
        };
        self.taken.push(name);
        let (_, node) = self.members.swap_remove(index);
        (!matches!(node, Node::Null)).then_some(node)
    }

    /// A member's value as `read` has it; where that is none, `expected` was.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(Node) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.take(name)?);
        if value.is_none() {
            self.wrong(name, format!("expected {expected}"));
        }
        value
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.read(
            name,
            "true or false",
            |node| if let Node::Boolean(value) = node { Some(value) } else { None },
        )
    }

    pub(super) fn number(&mut self, name: &'static str) -> Option<f64> {
        self.read(name, "a number", |node| if let Node::Number(value) = node { value.as_f64() } else { None })
    }

    /// A whole number; one below 0 is none, as for Bifrost.
    pub(super) fn whole(&mut self, name: &'static str) -> Option<u64> {
        let whole = |node| {
            let Node::Number(value) = node else { return None };
            value.as_u64().map(Some).or_else(|| value.as_i64().map(|_| None))
        };
        self.read(name, "a whole number", whole).flatten()
    }

    /// A whole number of 0 or more.
    pub(super) fn count(&mut self, name: &'static str) -> Option<u64> {
        let count = |node| if let Node::Number(value) = node { value.as_u64() } else { None };
        self.read(name, "a whole number of 0 or more", count)
    }

    /// A whole number. Of one that is too large for it, the largest.
    pub(super) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let integer = |node| {
            let Node::Number(value) = node else { return None };
            value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX))
        };
        self.read(name, "a whole number", integer)
    }

    /// A string as it is written; an empty one is none.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, "a string", text).filter(|text| !text.is_empty())
    }

    /// A string, or what the variable holds that it names.
    pub(super) fn value(&mut self, name: &'static str) -> Option<String> {
        let value = self.text(name)?;
        self.resolve(name, value)
    }

    pub(super) fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.value(name).map(SecretString::from)
    }

    /// What deliveries of webhooks are signed with, or the variable that holds it.
    pub(super) fn signing_secret(&mut self, name: &'static str) -> Option<SigningSecret> {
        let value = self.value(name)?;
        let secret = SigningSecret::parse(&value);
        if let Err(error) = &secret
            && !self.blames(name)
        {
            self.wrong(name, error.to_string());
        }
        secret.ok()
    }

    /// What `read` finds in a member that must be there. Only where nothing else is wrong with it, `message` is noted.
    pub(super) fn needed<T: Default>(
        &mut self,
        name: &'static str,
        message: &str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> T {
        let before = self.report.errors();
        let value = read(self, name);
        if value.is_none() && self.report.errors() == before {
            self.wrong(name, message);
        }
        value.unwrap_or_default()
    }

    /// `value`, or what the variable holds that it names; none if that is empty.
    pub(super) fn resolve(&self, member: &str, value: String) -> Option<String> {
        let variable = value.strip_prefix("env.").filter(|_| self.resolves);
        let Some(variable) = variable else { return Some(value) };
        let Some(held) = (self.report.environment)(variable) else {
            let (path, name) = (self.path_of(member), variable.to_owned());
            self.report.errors.borrow_mut().push(ConfigError::UnsetVariable { path, name });
            // So that nothing else is said of it.
            return Some(value);
        };
        Some(held).filter(|held| !held.is_empty())
    }

    /// An array of strings.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let path = self.path_of(name);
        let elements = self.array(name, "an array of strings")?.into_iter().enumerate();
        let text = |(index, node): (usize, Node)| {
            let found = text(node);
            if found.is_none() {
                self.report.wrong(format!("{path}[{index}]"), "expected a string");
            }
            found
        };
        Some(elements.filter_map(text).collect())
    }

    /// An object of strings.
    pub(super) fn texts_by_name(&mut self, name: &'static str) -> Vec<(String, String)> {
        let path = self.path_of(name);
        let text = |(member, node): (String, Node)| {
            let found = text(node);
            if found.is_none() {
                self.report.wrong(join(&path, &member), "expected a string");
            }
            found.map(|text| (member, text))
        };
        self.entries(name).into_iter().filter_map(text).collect()
    }

    /// An object with names that nobody knows beforehand.
    pub(super) fn entries(&mut self, name: &'static str) -> Vec<(String, Node)> {
        let node = self.take(name);
        node.map_or_else(Vec::new, |node| self.report.members_of(&self.path_of(name), node))
    }

    pub(super) fn section(&mut self, name: &'static str) -> Option<Self> {
        let node = self.take(name)?;
        Some(self.child(name, node))
    }

    /// An array of objects; what is none is left out.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Self> {
        let mut sections = Vec::new();
        for (index, node) in self.array(name, "an array").unwrap_or_default().into_iter().enumerate() {
            let member = format!("{name}[{index}]");
            if matches!(node, Node::Object(_)) {
                sections.push(self.child(&member, node));
            } else {
                self.wrong(&member, "expected an object");
            }
        }
        sections
    }

    /// The object below this one whose path ends like this.
    pub(super) fn child(&self, member: &str, node: Node) -> Self {
        Self::new(self.report, self.path_of(member), node, self.resolves)
    }

    fn array(&mut self, name: &'static str, expected: &str) -> Option<Vec<Node>> {
        self.read(name, expected, |node| if let Node::Array(elements) = node { Some(elements) } else { None })
    }

    /// Ends the reading: what was not asked for is ignored, or a misspelt name.
    pub(super) fn finish(self) {
        // One that is left although it was taken is given twice, which has been said.
        for (name, _) in self.members.iter().filter(|(name, _)| !self.taken.contains(&name.as_str())) {
            match nearest(name, self.absent.iter().copied()) {
                Some(meant) => self.wrong(name, format!("no such member; did you mean `{meant}`?")),
                None => self.report.ignored.borrow_mut().push(self.path_of(name)),
            }
        }
    }
}

/// The path of `member` below `path`.
fn join(path: &str, member: &str) -> String {
    match (path, member) {
        ("", _) => member.to_owned(),
        (_, "") => path.to_owned(),
        _ => format!("{path}.{member}"),
    }
}

fn text(node: Node) -> Option<String> {
    if let Node::Text(text) = node { Some(text) } else { None }
}
