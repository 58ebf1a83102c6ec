//! The roles that members have, and the access that each gives.

use serde::{Deserialize, Serialize};
use studio_plugin_api::Access;

/// How much a user may do on a project or organization. A later role may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read.
    Viewer,
    /// May read and write.
    Developer,
    /// May also manage connections and databases.
    Admin,
    /// May do everything, members included.
    Owner,
}

impl Role {
    /// Every name of a role that rows may hold, in any case; `member` and `read_only` come from an older Studio.
    pub(crate) const STORED: &[(&str, Self)] = &[
        ("viewer", Self::Viewer),
        ("member", Self::Viewer),
        ("read_only", Self::Viewer),
        ("developer", Self::Developer),
        ("admin", Self::Admin),
        ("owner", Self::Owner),
    ];

    /// Gives the role's one name in input and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads a role from input: exactly one of the four names.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Developer, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == name)
    }

    /// Reads a role from a row: older names and any case are understood, anything else gives no role.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::STORED.iter().find(|(stored, _)| stored.eq_ignore_ascii_case(name)).map(|(_, role)| *role)
    }

    /// Gives the most that this role may do. An operation that can either read or write runs read-only unless this is
    /// [`Access::Write`] or more.
    pub fn access(self) -> Access {
        match self {
            Role::Viewer => Access::Read,
            Role::Developer => Access::Write,
            Role::Admin | Role::Owner => Access::Admin,
        }
    }

    /// Tells whether this role may change the project's members and delete the project, which no [`Access`] gives.
    pub fn owns_project(self) -> bool {
        self == Role::Owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_allows_its_level_and_those_below() {
        use Access::{Admin, Read, Write};
        for (role, allowed) in [
            (Role::Viewer, [true, false, false]),
            (Role::Developer, [true, true, false]),
            (Role::Admin, [true, true, true]),
            (Role::Owner, [true, true, true]),
        ] {
            assert_eq!([Read, Write, Admin].map(|access| role.access() >= access), allowed, "{role:?}");
        }
    }

    #[test]
    fn only_the_owner_owns_the_project() {
        assert!(Role::Owner.owns_project());
        assert!(![Role::Viewer, Role::Developer, Role::Admin].into_iter().any(Role::owns_project));
    }
}
