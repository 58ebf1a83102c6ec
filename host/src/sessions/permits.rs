//! The caps on open sessions: over all, for each project, and for each driver that has one.

use crate::{config::SessionSettings, connections::target::Target};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use studio_plugin_api::{DriverError, sync::lock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The reason given when the caps leave no room.
pub(super) const TOO_MANY: &str = "too_many_sessions";
/// How often a waiting caller looks again for changes that do not wake it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A cap that can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cap {
    /// The driver's own.
    Driver,
    /// The project's.
    Project,
    /// The gateway's.
    All,
}

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

    /// Takes a place under every cap. While one is full, `make_room` may close an idle session that counts against it;
    /// callers wait in the order they came.
    pub(super) async fn acquire(
        &self,
        target: &Target,
        make_room: impl Fn(Cap),
    ) -> Result<Permit, DriverError> {
        let caps = [
            (Cap::Driver, target.driver.session_cap().cloned()),
            (Cap::Project, Some(self.project(target))),
            (Cap::All, Some(self.global.clone())),
        ];
        let acquire = async {
            let mut places = [None, None, None];
            for (place, (cap, semaphore)) in places.iter_mut().zip(caps) {
                let Some(semaphore) = semaphore else { continue };
                *place = acquire_one(semaphore, || make_room(cap)).await;
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

/// Takes a place under one cap. An idle session keeps its place, and falling idle wakes no caller: so this looks again.
async fn acquire_one(semaphore: Arc<Semaphore>, make_room: impl Fn()) -> Option<OwnedSemaphorePermit> {
    if semaphore.available_permits() == 0 {
        make_room();
    }
    let mut acquiring = pin!(semaphore.acquire_owned());
    loop {
        match tokio::time::timeout(LOOK_AGAIN, acquiring.as_mut()).await {
            Ok(place) => return place.ok(),
            Err(_) => make_room(),
        }
    }
}
