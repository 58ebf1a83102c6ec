//! The tables of the settings, and which of their limits apply to a request.

use super::{Class, RateLimitRequest, rule::Rule};
use crate::{
    config::{CLASS_RATE, RateLimitSettings, RequestLimit, RequestLimits},
    role::Role,
};
use governor::clock::Clock;
use sfv::{StringRef, string_ref};
use std::collections::{BTreeMap, HashMap};

/// All tables.
pub(super) struct Tables<C: Clock> {
    projects: HashMap<String, Table<C>>,
    drivers: HashMap<String, Table<C>>,
    roles: HashMap<Role, Table<C>>,
    everyone: Table<C>,
    /// For requests for which no other table sets a limit.
    usual: Table<C>,
}

/// A table's setting for a class.
enum Lane<C: Clock> {
    /// The table sets nothing.
    Unset,
    /// No limit.
    Open,
    /// A limit.
    Limited(Rule<C>),
}

/// One table of the settings.
struct Table<C: Clock> {
    total: Lane<C>,
    read: Lane<C>,
    write: Lane<C>,
    admin: Lane<C>,
    query: Lane<C>,
}

impl<C: Clock + Clone> Tables<C> {
    pub(super) fn new(settings: &RateLimitSettings, clock: &C) -> Self {
        let apart = |place: String, limits: &RequestLimits| Table::new(&place, Some(&place), limits, clock);
        let named = |kind: &str, tables: &BTreeMap<String, RequestLimits>| {
            let named = |(name, limits): (&String, &RequestLimits)| {
                (name.clone(), apart(format!("{kind}.{name}"), limits))
            };
            tables.iter().map(named).collect()
        };
        let role = |(role, limits): (&Role, &RequestLimits)| {
            (*role, apart(format!("roles.{}", role.as_str()), limits))
        };
        let usual = Some(RequestLimit::Rate(CLASS_RATE));
        let usual = RequestLimits { total: None, read: usual, write: usual, admin: usual, query: usual };
        Self {
            projects: named("projects", &settings.projects),
            drivers: named("drivers", &settings.drivers),
            roles: settings.roles.iter().map(role).collect(),
            everyone: Table::new("everyone", None, &settings.everyone, clock),
            usual: Table::new("everyone", None, &usual, clock),
        }
    }
}

impl<C: Clock> Tables<C> {
    /// Finds the limit of a request's class and the limit of all classes together.
    pub(super) fn applying(&self, request: &RateLimitRequest<'_>) -> (Option<&Rule<C>>, Option<&Rule<C>>) {
        let tables = [
            request.project.and_then(|project| self.projects.get(project)),
            request.database_type.and_then(|database_type| self.drivers.get(database_type)),
            request.role.and_then(|role| self.roles.get(&role)),
            Some(&self.everyone),
        ];
        let first = |lane: fn(&Table<C>, Class) -> &Lane<C>| {
            let lanes = tables.iter().flatten().map(|table| lane(table, request.class));
            lanes.into_iter().find(|lane| !matches!(lane, Lane::Unset))
        };
        match (first(Table::class), first(|table, _| &table.total)) {
            (None, None) => (self.usual.class(request.class).rule(), None),
            (class, total) => (class.and_then(Lane::rule), total.and_then(Lane::rule)),
        }
    }

    /// Lists all limits.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule<C>> {
        let tables = self.projects.values().chain(self.drivers.values()).chain(self.roles.values());
        tables.chain([&self.everyone, &self.usual]).flat_map(Table::rules)
    }
}

impl<C: Clock> Table<C> {
    fn class(&self, class: Class) -> &Lane<C> {
        match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Admin => &self.admin,
            Class::Query => &self.query,
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Rule<C>> {
        [&self.total, &self.read, &self.write, &self.admin, &self.query].into_iter().filter_map(Lane::rule)
    }
}

impl<C: Clock + Clone> Table<C> {
    fn new(place: &str, partition: Option<&str>, limits: &RequestLimits, clock: &C) -> Self {
        let lane = |name: &'static StringRef, limit| match limit {
            None => Lane::Unset,
            Some(RequestLimit::Unlimited) => Lane::Open,
            Some(RequestLimit::Rate(rate)) => {
                let key = format!("{place}.{}", name.as_str());
                Lane::Limited(Rule::new(key, name, partition, rate, clock.clone()))
            }
        };
        Self {
            total: lane(string_ref("total"), limits.total),
            read: lane(string_ref("read"), limits.read),
            write: lane(string_ref("write"), limits.write),
            admin: lane(string_ref("admin"), limits.admin),
            query: lane(string_ref("query"), limits.query),
        }
    }
}

impl<C: Clock> Lane<C> {
    fn rule(&self) -> Option<&Rule<C>> {
        match self {
            Self::Limited(rule) => Some(rule),
            Self::Unset | Self::Open => None,
        }
    }
}
