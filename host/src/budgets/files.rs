//! The files that the process may have open: each connection is one.

/// Raises the soft limit on open files to the hard one, and returns the new limit; `None` if the system does not tell
/// it.
pub fn raise_file_limit() -> Option<u64> {
    let before = rlimit::Resource::NOFILE.get().ok();
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(after) => {
            tracing::info!(
                before = before.map(|(soft, _)| soft),
                after,
                "open files that the gateway may have"
            );
            Some(after)
        }
        Err(error) => {
            tracing::warn!(%error, "the soft limit on open files stays as it is");
            before.map(|(soft, _)| soft)
        }
    }
}
