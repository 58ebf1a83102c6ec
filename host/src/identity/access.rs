//! What a role lets its holder do.

use super::Access;
use crate::registry::Role;

impl Role {
    /// The most that this role may do. An operation that can either read or write runs read-only unless this is
    /// [`Access::Write`] or more.
    pub fn access(self) -> Access {
        match self {
            Role::Viewer => Access::Read,
            Role::Developer => Access::Write,
            Role::Admin | Role::Owner => Access::Admin,
        }
    }

    /// Whether this role may change the project's members and delete the project, which no [`Access`] gives.
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
