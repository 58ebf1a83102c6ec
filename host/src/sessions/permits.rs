//! The caps on open sessions: over all, for each project, and for each driver that has one.

use super::{Target, lock};
use crate::config::SessionSettings;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use studio_plugin_api::DriverError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The reason given when the caps leave no room.
pub(super) const TOO_MANY: &str = "too_many_sessions";

/// A session's place under every cap.
pub(super) struct Permit {
    _places: [Option<OwnedSemaphorePermit>; 3],
}

pub(super) struct Permits {
    global: Arc<Semaphore>,
    projects: Mutex<HashMap<String, Arc<Semaphore>>>,
    per_project: usize,
    wait: Duration,
}

impl Permits {
    pub(super) fn new(settings: &SessionSettings) -> Self {
        Self {
            global: Arc::new(Semaphore::new(settings.max.get())),
            projects: Mutex::default(),
            per_project: settings.max_per_project.get(),
            wait: *settings.wait,
        }
    }

    /// A place under every cap. When one is full, `make_room` may close an idle session; then callers wait in the
    /// order they came.
    pub(super) async fn acquire(&self, target: &Target, make_room: impl Fn()) -> Result<Permit, DriverError> {
        let semaphores =
            [target.driver.session_cap().cloned(), Some(self.project(target)), Some(self.global.clone())];
        let acquire = async {
            let mut places = [None, None, None];
            for (place, semaphore) in places.iter_mut().zip(semaphores) {
                let Some(semaphore) = semaphore else { continue };
                if semaphore.available_permits() == 0 {
                    make_room();
                }
                *place = semaphore.acquire_owned().await.ok();
            }
            Permit { _places: places }
        };
        tokio::time::timeout(self.wait, acquire).await.map_err(|_| {
            let message = "too many sessions are open; none became free in time";
            let mut error = DriverError::connection(TOO_MANY, message);
            error.retry_after = Some(Duration::from_secs(1));
            error
        })
    }

    pub(super) fn project_is_full(&self, target: &Target) -> bool {
        self.project(target).available_permits() == 0
    }

    pub(super) fn forget_unused(&self) {
        lock(&self.projects).retain(|_, semaphore| {
            Arc::strong_count(semaphore) > 1 || semaphore.available_permits() < self.per_project
        });
    }

    fn project(&self, target: &Target) -> Arc<Semaphore> {
        lock(&self.projects)
            .entry(target.connection.project_id.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.per_project)))
            .clone()
    }
}
