//! Calls under way for each project: a bounded number at once; further calls wait in line.

use super::wait_estimate::{SharedEstimate, too_many_waiting};
use crate::{config::SessionSettings, count_guard::CountGuard};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, sync::lock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All projects that have connections in use.
pub(super) struct Projects {
    projects: Mutex<HashMap<String, Arc<ProjectCalls>>>,
    at_once: usize,
    waiting: usize,
}

impl Projects {
    pub(super) fn new(settings: &SessionSettings) -> Self {
        Self {
            projects: Mutex::default(),
            at_once: settings.max_calls_per_project.get(),
            waiting: settings.max_waiting.get(),
        }
    }

    /// Returns the calls of a project, by its id.
    pub(super) fn get(&self, project_id: &str) -> Arc<ProjectCalls> {
        let new = || ProjectCalls {
            places: Arc::new(Semaphore::new(self.at_once)),
            at_once: self.at_once,
            most_waiting: self.waiting,
            waiting: AtomicUsize::new(0),
            estimate: SharedEstimate::default(),
        };
        let mut projects = lock(&self.projects);
        projects.entry(project_id.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    pub(super) fn forget_unused(&self) {
        lock(&self.projects).retain(|_, project| Arc::strong_count(project) > 1);
    }
}

/// One project's calls under way.
pub(super) struct ProjectCalls {
    places: Arc<Semaphore>,
    at_once: usize,
    most_waiting: usize,
    waiting: AtomicUsize,
    estimate: SharedEstimate,
}

/// A call's place among the calls of its project.
pub(super) struct CallPlace {
    _permit: Option<OwnedSemaphorePermit>,
}

impl ProjectCalls {
    /// Takes a place among the calls, in order of arrival. `held_up` counts a connection's callers that wait for a
    /// place.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `too_many_waiting`, when the line is full, too slow, or not moving on by `turn_by`.
    pub(super) async fn enter(
        &self,
        held_up: &AtomicUsize,
        turn_by: Instant,
        deadline: Instant,
    ) -> Result<CallPlace, DriverError> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(CallPlace { _permit: Some(permit) });
        }
        let waiting = CountGuard::enter(&self.waiting);
        if waiting.before >= self.most_waiting {
            return Err(too_many_waiting(Duration::ZERO));
        }
        let line = (waiting.before, self.at_once);
        self.estimate.get().check(Instant::now(), line, (turn_by, deadline)).map_err(too_many_waiting)?;
        let _held_up = CountGuard::enter(held_up);
        match tokio::time::timeout_at(turn_by.into(), self.places.clone().acquire_owned()).await {
            // The semaphore is never closed, so `acquire_owned` does not fail.
            Ok(permit) => Ok(CallPlace { _permit: permit.ok() }),
            Err(_) => Err(too_many_waiting(Duration::ZERO)),
        }
    }

    /// Adds the duration of a call that ended to the estimate.
    pub(super) fn learn(&self, took: Duration) {
        self.estimate.learn(took);
    }
}
