//! The entries of all connections: finding, replacing and sweeping them, and closing idle sessions to make room.

use super::{
    calls::Projects,
    entry::Entry,
    permits::{Cap, Permits},
};
use crate::{
    config::SessionSettings,
    connections::target::Target,
    registry::{ConnectionId, ConnectionStatus, Registry},
    secrets::Keyring,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};
use studio_plugin_api::sync::lock;
use tokio::runtime::Handle;

/// The entries of every connection, and the parts that all of them share.
pub(super) struct Shared {
    pub(super) settings: SessionSettings,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) permits: Permits,
    pub(super) projects: Projects,
    /// Opens sessions: a lease may be dropped outside of any runtime, and that may begin an opening.
    pub(super) runtime: Handle,
    pub(super) entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
}

impl Shared {
    /// Returns the entry for the target. An entry of an older version is replaced; running calls finish on its
    /// sessions.
    pub(super) fn entry(self: &Arc<Self>, target: &Target) -> Arc<Entry> {
        let new = || {
            let project = self.projects.get(&target.connection.project_id);
            Arc::new(Entry::new(target.clone(), &self.settings, project, Arc::downgrade(self)))
        };
        let mut entries = lock(&self.entries);
        match entries.get(&target.connection.id) {
            Some(entry) if entry.target.version() == target.version() => entry.clone(),
            // A caller that looked the connection up before it changed must not bring the old version back.
            Some(entry) if entry.target.version() > target.version() => new(),
            _ => {
                let entry = new();
                let replaced = entries.insert(target.connection.id, entry.clone());
                drop(entries);
                if let Some(replaced) = replaced {
                    replaced.retire();
                }
                entry
            }
        }
    }

    pub(super) fn all_entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.entries).values().cloned().collect()
    }

    /// Sets the connection's `status` in the registry, unless it is the same already, or the connection has no row
    /// there.
    pub(super) fn report(&self, target: &Target, status: ConnectionStatus) {
        if target.connection.is_implicit {
            return;
        }
        let (registry, connection) = (self.registry.clone(), target.connection.clone());
        self.runtime.spawn(async move {
            let version = connection.settings_version;
            if let Err(error) = registry.set_connection_status(connection.id, version, status).await {
                tracing::warn!(connection = %connection.id, %error, "the connection's status could not be written");
            }
        });
    }

    /// Closes the session that has been idle longest, among those that count against the cap that is full.
    pub(super) fn evict_idle(&self, target: &Target, cap: Cap) {
        let candidates = self.all_entries();
        let counts = |other: &Target| match cap {
            Cap::Driver => Arc::ptr_eq(&other.driver, &target.driver),
            Cap::Project => other.connection.project_id == target.connection.project_id,
            Cap::All => true,
        };
        let longest_idle = candidates
            .iter()
            .filter(|entry| counts(&entry.target))
            .filter_map(|entry| Some((entry.idle_since()?, entry)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, entry)) = longest_idle {
            entry.close_longest_idle();
        }
    }

    pub(super) fn sweep(&self) {
        let Some(limit) = Instant::now().checked_sub(*self.settings.idle_timeout) else { return };
        let entries = self.all_entries();
        // Outside the lock: closing a session is the driver's code.
        entries.iter().for_each(|entry| entry.close_idle_since(limit));
        drop(entries);
        lock(&self.entries).retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.is_forgettable());
        self.permits.forget_unused();
        self.projects.forget_unused();
    }
}
