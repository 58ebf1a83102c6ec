//! The limits of one instance.

use wasmtime::ResourceLimiter;

/// The largest memory that may be allowed to an instance, in MiB: more is not reserved for any.
pub(in crate::plugins) const MOST_MEMORY: u32 = 1024;
/// The most table elements that may be allowed to an instance.
pub(in crate::plugins) const MOST_TABLE_ELEMENTS: u32 = 100_000;
/// Core instances in one instance of a component: a component that was linked from parts has one for each part.
pub(super) const MOST_INSTANCES: u32 = 40;
/// Tables and memories in one instance of a component, over all its parts.
pub(super) const MOST_TABLES: u32 = 4;
pub(super) const MOST_MEMORIES: u32 = 1;

/// The limits of one instance of a sandboxed driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugins) struct SandboxLimits {
    /// The memory in MiB.
    pub(in crate::plugins) memory: u32,
    /// Elements of all its tables together.
    pub(in crate::plugins) table_elements: u32,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self { memory: 64, table_elements: 20_000 }
    }
}

impl SandboxLimits {
    /// Gives the memory in bytes.
    pub(super) fn memory_bytes(self) -> usize {
        (self.memory as usize) << 20
    }
}

/// Tenths of an instance's memory that a reply may have: the memory also holds the values that it is made of, base64 of
/// them where they are bytes, and the driver itself.
const REPLY_TENTHS: u64 = 3;

/// Counts an instance's memory and table elements, and refuses more than its limits.
pub(super) struct Meter {
    limits: SandboxLimits,
    memory: usize,
    table_elements: usize,
    /// The last refusal, in words for the log and the caller.
    refused: Option<String>,
}

impl Meter {
    pub(super) fn new(limits: SandboxLimits) -> Self {
        Self { limits, memory: 0, table_elements: 0, refused: None }
    }

    /// Gives the size of the largest reply that the instance has room for.
    pub(super) fn reply_bytes(&self) -> u64 {
        self.limits.memory_bytes() as u64 / 10 * REPLY_TENTHS
    }

    /// Tells why the instance may have given up.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes() {
            self.refused =
                Some(format!("it wanted more memory than its limit of {} MiB", self.limits.memory));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements as usize {
            let most = self.limits.table_elements;
            self.refused = Some(format!("it wanted more table elements than its limit of {most}"));
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MOST_INSTANCES as usize
    }
    fn tables(&self) -> usize {
        MOST_TABLES as usize
    }
    fn memories(&self) -> usize {
        MOST_MEMORIES as usize
    }
}
