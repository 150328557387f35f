use std::collections::BTreeSet;

use hermod_queue::QueueError;
use hermod_queue::governance::{Changes, Defined, KnownDefinitions, name_of};
use hermod_types::governance::{
    Budget, BudgetOwner, Customer, Definitions, Fault, Kind, ModelConfig, PricingOverride, ProviderLimits,
    RateLimit, Team, VirtualKey,
};

use crate::error::ApiError;

/// What is defined, as it is to be: a change is made on it first.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Those of the file first.
    pub(super) all: Definitions,
    of_file: BTreeSet<String>,
    pub(super) changes: Changes,
}

/// How messages call a definition.
pub(super) trait Called: Defined {
    /// `virtual key`
    const WHAT: &'static str;
    /// Bifrost's text for one that is not there.
    const NOT_FOUND: &'static str;
}

macro_rules! called {
    ($($type:ident, $what:literal, $not_found:literal;)*) => {
        $(impl Called for $type {
            const WHAT: &'static str = $what;
            const NOT_FOUND: &'static str = $not_found;
        })*
    };
}

called! {
    VirtualKey, "virtual key", "Virtual key not found";
    Team, "team", "Team not found";
    Customer, "customer", "Customer not found";
    Budget, "budget", "Budget not found";
    RateLimit, "rate limit", "Rate limit not found";
    ModelConfig, "model config", "Model config not found";
    ProviderLimits, "provider", "Provider not found";
    PricingOverride, "pricing override", "Pricing override not found";
}

/// # Errors
/// If there is none.
pub(super) fn find<'a, T: Called + 'a>(all: &'a Definitions, id: &str) -> Result<&'a T, ApiError> {
    T::list(all).iter().find(|one| one.id() == id).ok_or(ApiError::NotFound(T::NOT_FOUND))
}

impl Draft {
    pub(super) fn new(known: &KnownDefinitions, file: &Definitions) -> Self {
        let mut of_file = BTreeSet::new();
        fn note<T: Called>(of_file: &mut BTreeSet<String>, file: &Definitions) {
            of_file.extend(T::list(file).iter().map(|one| name_of(T::KIND, one.id())));
        }
        note::<VirtualKey>(&mut of_file, file);
        note::<Team>(&mut of_file, file);
        note::<Customer>(&mut of_file, file);
        note::<Budget>(&mut of_file, file);
        note::<RateLimit>(&mut of_file, file);
        note::<ModelConfig>(&mut of_file, file);
        note::<ProviderLimits>(&mut of_file, file);
        note::<PricingOverride>(&mut of_file, file);
        Self { all: known.all().clone(), of_file, changes: Changes::default() }
    }

    /// # Errors
    /// If there is none, or it stands in the file.
    pub(super) fn changeable<T: Called>(&self, id: &str) -> Result<T, ApiError> {
        let found = find::<T>(&self.all, id)?.clone();
        if self.is_of_file(T::KIND, id) { Err(in_file::<T>(id)) } else { Ok(found) }
    }

    pub(super) fn is_of_file(&self, kind: Kind, id: &str) -> bool {
        self.of_file.contains(&name_of(kind, id))
    }

    /// Defines it, in place of what has its id.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn put<T: Called>(&mut self, one: T) -> Result<(), ApiError> {
        let row = serde_json::to_string(&one)
            .map_err(|error| ApiError::Internal(QueueError::Unexpected(error.to_string())))?;
        let name = name_of(T::KIND, one.id());
        self.changes.removes.retain(|removed| *removed != name);
        self.changes.puts.insert(name, row);
        let list = T::list_mut(&mut self.all);
        match list.iter_mut().find(|is| is.id() == one.id()) {
            Some(is) => *is = one,
            None => list.push(one),
        }
        Ok(())
    }

    pub(super) fn remove<T: Called>(&mut self, id: &str) {
        let name = name_of(T::KIND, id);
        self.changes.puts.remove(&name);
        self.changes.removes.push(name);
        T::list_mut(&mut self.all).retain(|is| is.id() != id);
    }

    /// The budgets of an owner.
    pub(super) fn budgets_of(&self, owner: &BudgetOwner) -> Vec<Budget> {
        budgets_of(&self.all, owner).cloned().collect()
    }

    /// # Errors
    /// If something that was changed is wrong beside all else.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let fault = self.all.faults().into_iter().find(|fault| {
            let name = self.id_of(fault).map(|id| name_of(fault.kind, id));
            name.is_some_and(|name| self.changes.puts.contains_key(&name))
        });
        match fault {
            None => Ok(()),
            Some(Fault { member, message, .. }) if member.is_empty() => Err(ApiError::invalid(message)),
            Some(Fault { member, message, .. }) => Err(ApiError::invalid(format!("{member}: {message}"))),
        }
    }

    /// The id of the definition that has a fault.
    fn id_of(&self, fault: &Fault) -> Option<&str> {
        fn at<T: Called>(all: &Definitions, index: usize) -> Option<&str> {
            T::list(all).get(index).map(Defined::id)
        }
        let of = match fault.kind {
            Kind::VirtualKeys => at::<VirtualKey>,
            Kind::Teams => at::<Team>,
            Kind::Customers => at::<Customer>,
            Kind::Budgets => at::<Budget>,
            Kind::RateLimits => at::<RateLimit>,
            Kind::ModelConfigs => at::<ModelConfig>,
            Kind::Providers => at::<ProviderLimits>,
            Kind::PricingOverrides => at::<PricingOverride>,
        };
        of(&self.all, fault.index)
    }
}

/// The budgets of an owner.
pub(super) fn budgets_of<'a>(
    all: &'a Definitions,
    owner: &'a BudgetOwner,
) -> impl Iterator<Item = &'a Budget> {
    all.budgets.iter().filter(move |budget| budget.owner.as_ref() == Some(owner))
}

pub(super) fn in_file<T: Called>(id: &str) -> ApiError {
    ApiError::Conflict(format!("{} {id:?} stands in config.json, and is changed there", T::WHAT))
}
