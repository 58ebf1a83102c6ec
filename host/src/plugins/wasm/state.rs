//! The host's values for one instance.

use super::{
    Shared,
    journal::{Journal, Output},
    limits::Meter,
    network::Egress,
    scheduler::GuestSchedule,
    stream::Streams,
};
use crate::plugins::timers::Timers;
use std::time::Instant;
use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Handles of WASI's that an instance may hold at once.
const MOST_RESOURCES: usize = 1000;
/// Random bytes that an instance may ask for at once.
pub(super) const MOST_RANDOM: u32 = 65_536;

/// The host's values for one instance.
pub(super) struct State {
    pub(super) meter: Meter,
    pub(super) schedule: GuestSchedule,
    pub(super) journal: Journal,
    pub(super) egress: Egress,
    pub(super) streams: Streams,
    pub(super) timers: Timers,
    /// The zero of the instance's monotonic clock.
    pub(super) started: Instant,
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl State {
    pub(super) fn new(shared: &Shared, egress: Egress) -> Self {
        let journal = shared.journal.for_session();
        let output = |level, name| Output { journal: journal.clone(), level, name };
        // These are imports of standard toolchains, with nothing behind them: no arguments, no environment, no folders,
        // no sockets, an empty standard input.
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output(Level::INFO, "stdout"))
            .stderr(output(Level::WARN, "stderr"))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MOST_RANDOM.into());
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MOST_RESOURCES);
        Self {
            meter: Meter::new(shared.limits),
            schedule: shared.compiled.sandbox.scheduler.schedule(),
            egress,
            streams: Streams::default(),
            timers: Timers::default(),
            started: Instant::now(),
            wasi: wasi.build(),
            resources,
            journal,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}
