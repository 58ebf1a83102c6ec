//! Opening sessions.

use super::{
    entry::Opening,
    permits::{Permit, TOO_MANY},
    session::Session,
    shared::Shared,
};
use crate::{
    connections::{
        settings::{SettingsError, open_settings},
        target::Target,
    },
    plugins::containment::goes_on,
    registry::ConnectionStatus,
};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Instant};
use studio_plugin_api::{DriverError, ErrorCode};

impl Shared {
    /// Opens a session in a separate task, so that the opening goes on for the others when the first caller leaves.
    pub(super) fn start_opening(self: &Arc<Self>, opening: Opening) {
        let shared = self.clone();
        self.runtime.spawn(async move {
            let entry = opening.entry.clone();
            if let Some(until) = shared.open(opening).await {
                tokio::time::sleep_until(until.into()).await;
                entry.open_more();
            }
        });
    }

    /// Opens the session. Returns when to try again if that failed and the connection has other sessions to wait for.
    async fn open(&self, mut opening: Opening) -> Option<Instant> {
        let target = opening.entry.target.clone();
        let make_room = |cap| {
            if opening.is_needed() {
                self.evict_idle(&target, cap);
            }
        };
        let result = match self.permits.acquire(&target, make_room).await {
            Ok(permit) if opening.find_room() => self.connect(&target, permit).await,
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        match result {
            Ok(session) => {
                if opening.finish(session) {
                    self.report_opening(&target, Ok(()));
                }
                None
            }
            Err(error) => {
                tracing::warn!(connection = %target.connection.id, %error, "no session");
                let until = opening.fail(&error);
                if until.is_none() {
                    self.report_opening(&target, Err(&error));
                }
                until
            }
        }
    }

    async fn connect(&self, target: &Target, permit: Permit) -> Result<Session, DriverError> {
        let Target { connection, driver } = target;
        let settings = open_settings(&self.keyring, connection.id, &connection.settings, driver);
        let settings = settings.map_err(unopened)?;
        let instance = target.driver.instance().clone();
        let connecting = async move { instance.connect(settings).await };
        let deadline = Instant::now() + *self.settings.connect_timeout;
        let containment = target.driver.containment();
        match containment.run(containment.connect(), deadline, connecting).await {
            Ok(driver_session) => Ok(Session::new(containment.hold(driver_session), permit)),
            Err(error) if goes_on(&error) => {
                let message =
                    "the driver blocks: it did not open a session in time, and could not be stopped";
                Err(DriverError::connection("timeout", message))
            }
            Err(error) if error.code == ErrorCode::Timeout => {
                Err(DriverError::connection("timeout", "the database did not accept a session in time"))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn connect_and_ping(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let permit = self.permits.acquire(target, |cap| self.evict_idle(target, cap)).await?;
        let session = self.connect(target, permit).await?;
        let deadline = Instant::now() + *self.settings.connect_timeout;
        let containment = target.driver.containment();
        containment.run(containment.ping(), deadline, session.driver_session.ping()).await
    }

    pub(super) fn report_opening(&self, target: &Target, result: Result<(), &DriverError>) {
        match result {
            Ok(()) => self.report(target, ConnectionStatus::Active),
            Err(error) if is_want_of_room(error) => {}
            Err(_) => self.report(target, ConnectionStatus::Error),
        }
    }
}

/// Tells whether the caps left no room: they are the gateway's own limit, and no sign that the database fails.
fn is_want_of_room(error: &DriverError) -> bool {
    error.details.get("reason").is_some_and(|reason| reason == TOO_MANY)
}

fn unopened(error: SettingsError) -> DriverError {
    tracing::error!(%error, "a connection's settings do not open");
    DriverError::connection("settings", "the connection's stored secrets can't be opened; save them again")
}
