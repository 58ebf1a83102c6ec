//! The engine that compiles and runs components, and its settings.

use super::limits::{MOST_INSTANCES, MOST_MEMORIES, MOST_MEMORY, MOST_TABLE_ELEMENTS, MOST_TABLES};
use crate::plugins::error::{PluginError, one_line};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Bytes of stack for a guest, and of the fiber that it runs on, which host functions use too.
const GUEST_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 1 << 20;

/// The most characters of the engine's own words that are passed on.
pub(super) const LONGEST_REASON: usize = 500;

/// Makes an engine with room for so many instances.
pub(super) fn new_engine(instances: usize) -> Result<Engine, PluginError> {
    Engine::new(&config(instances)).map_err(|error| PluginError::NoSandbox(format!("{error:#}")))
}

fn config(instances: usize) -> Config {
    let count = u32::try_from(instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(MOST_INSTANCES))
        .total_memories(count.saturating_mul(MOST_MEMORIES))
        .total_tables(count.saturating_mul(MOST_TABLES))
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

/// Refuses a component in the engine's words.
pub(super) fn not_a_component(error: &wasmtime::Error) -> PluginError {
    PluginError::NotAComponent(one_line(&format!("{error:#}"), LONGEST_REASON))
}
