//! The engine that compiles and runs components, and what it links them to.

use super::{
    bindings::{Driver, DriverPre},
    cache::CompiledCache,
    limits::{MOST_MEMORIES, MOST_MEMORY, MOST_TABLE_ELEMENTS, MOST_TABLES},
    state::State,
    turns::Turns,
};
use crate::plugins::load::{PluginError, Resolve, check_version};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{Component, HasSelf, Linker, types::ComponentItem},
};

/// Bytes of the largest component that is compiled.
const LARGEST_COMPONENT: usize = 128 << 20;
/// Bytes of stack for a guest, and of the fiber that it runs on, which host functions use too.
const GUEST_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 1 << 20;
/// Instances beyond the sessions that may be open: those that check settings, and those that are closing.
const SPARE_INSTANCES: usize = 64;

/// Compiles and runs components.
pub(in crate::plugins) struct Sandbox {
    pub(super) engine: Engine,
    pub(super) turns: Turns,
    linker: Linker<State>,
    cache: Option<CompiledCache>,
    resolve: Arc<Resolve>,
}

/// A component, ready to be started.
pub(super) struct Compiled {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) component: DriverPre<State>,
    pub(super) resolve: Arc<Resolve>,
    /// What it imports, each as `package/interface@version`.
    pub(super) imports: BTreeSet<String>,
    /// How long compiling it took; `None` where the code was in the cache.
    pub(super) compile_time: Option<Duration>,
}

impl Sandbox {
    /// An engine with room for so many sessions. Compiled code is kept in `cache`; names are resolved by `resolve`.
    pub(in crate::plugins) fn new(
        sessions: usize,
        cache: Option<CompiledCache>,
        resolve: Arc<Resolve>,
    ) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::NoSandbox(format!("{error:#}"));
        let engine = Engine::new(&config(sessions + SPARE_INSTANCES)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        Driver::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(failed)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let turns = Turns::start(engine.weak(), workers)
            .map_err(|error| PluginError::NoSandbox(error.to_string()))?;
        Ok(Self { engine, turns, linker, cache, resolve })
    }

    /// Compiles a component, or takes its code from the cache, and checks what it imports and exports.
    pub(super) async fn compile(
        self: Arc<Self>,
        bytes: Vec<u8>,
        sha256: &str,
    ) -> Result<Compiled, PluginError> {
        let (sandbox, sha256) = (self.clone(), sha256.to_owned());
        let compiling = tokio::task::spawn_blocking(move || sandbox.compile_now(&bytes, &sha256));
        let (component, compile_time) =
            compiling.await.map_err(|_| PluginError::NotAComponent("compiling it panicked".to_owned()))??;
        let imports = self.imports(&component);
        let component = self.link(&component, &imports)?;
        Ok(Compiled { component, imports, compile_time, resolve: self.resolve.clone(), sandbox: self })
    }

    fn compile_now(&self, bytes: &[u8], sha256: &str) -> Result<(Component, Option<Duration>), PluginError> {
        if bytes.len() > LARGEST_COMPONENT {
            return Err(PluginError::NotAComponent(format!(
                "it has {} bytes, and {LARGEST_COMPONENT} are the most",
                bytes.len()
            )));
        }
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, sha256)) {
            return Ok((component, None));
        }
        let begin = Instant::now();
        let component = Component::new(&self.engine, bytes).map_err(|error| not_a_component(&error))?;
        let time = begin.elapsed();
        if let Some(cache) = &self.cache {
            cache.store(&self.engine, sha256, &component);
        }
        Ok((component, Some(time)))
    }

    fn link(
        &self,
        component: &Component,
        imports: &BTreeSet<String>,
    ) -> Result<DriverPre<State>, PluginError> {
        for import in imports {
            if let Some((_, version)) =
                import.strip_prefix("studio:driver/").and_then(|rest| rest.split_once('@'))
            {
                check_version(version)?;
            }
        }
        let linked = self.linker.instantiate_pre(component).and_then(DriverPre::new);
        linked.map_err(|error| {
            // Its import that nothing here answers to, or the export that it lacks, by name.
            let text = format!("{error:#}");
            if text.contains("import") {
                PluginError::Import(one_line(&text))
            } else {
                PluginError::NotADriver
            }
        })
    }

    fn imports(&self, component: &Component) -> BTreeSet<String> {
        let imports = component.component_type();
        let imports = imports.imports(&self.engine);
        imports
            .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

fn config(instances: usize) -> Config {
    let count = u32::try_from(instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(20))
        .total_memories(count)
        .total_tables(count.saturating_mul(3))
        .total_stacks(count)
        .max_memories_per_component(MOST_MEMORIES)
        .max_tables_per_component(MOST_TABLES)
        .table_elements(MOST_TABLE_ELEMENTS as usize)
        .max_memory_size((MOST_MEMORY as usize) << 20);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_max_frames(std::num::NonZero::new(20))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn not_a_component(error: &wasmtime::Error) -> PluginError {
    PluginError::NotAComponent(one_line(&format!("{error:#}")))
}

pub(super) fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(500).collect()
}
