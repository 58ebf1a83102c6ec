//! `[quotas]`: how many things callers may create.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::at_least_one;

/// `[quotas]`: how many things callers may create, since every caller with a good token may create organizations and,
/// in them, the other things. Existing things stay when a quota is lowered.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaSettings {
    /// Organizations of which one user is owner. Default 100.
    pub organizations_per_user: NonZeroUsize,
    /// Projects in one organization. Default 500.
    pub projects_per_organization: NonZeroUsize,
    /// Connections of one project, of all types together. Default 1000.
    pub connections_per_project: NonZeroUsize,
    /// Members of one project, apart from its organization's. Default 10,000.
    pub members_per_project: NonZeroUsize,
    /// Creations by one user within an hour that fail because the name is somebody's already. Names are one space for
    /// all, so whoever creates learns which are taken: this says how many. Default 100.
    pub taken_names_per_hour: NonZeroUsize,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            organizations_per_user: at_least_one(100),
            projects_per_organization: at_least_one(500),
            connections_per_project: at_least_one(1000),
            members_per_project: at_least_one(10_000),
            taken_names_per_hour: at_least_one(100),
        }
    }
}
