//! A caller whose token was verified.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::registry::Visibility;
use crate::role::Role;

/// A caller whose token was verified.
///
/// `Display` names the caller for logs and the audit trail: `user:<sub>` or `service_role:<reference>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person or program known to the platform: a token signed with the shared secret or a key of the JWKS.
    User {
        /// The token's `sub`, never empty.
        subject: String,
        /// The rights from the token itself, apart from memberships in the registry.
        grants: Grants,
    },
    /// A holder of one project's own `service_role` key.
    ProjectService {
        /// The project's reference.
        reference: String,
    },
}

/// The rights that a user's token gives by its `app_metadata` claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Roles by project reference (`app_metadata.projects` without `*`).
    projects: BTreeMap<String, Role>,
    /// The role on every project (`app_metadata.projects["*"]`).
    everywhere: Option<Role>,
    /// `app_metadata.platform_role` is `admin`: the user owns every project.
    platform_admin: bool,
}

impl Grants {
    /// Reads an `app_metadata` claim. A part in another form, such as an unknown role word, gives nothing: the claim
    /// also holds data of other software.
    pub fn from_app_metadata(app_metadata: &Value) -> Self {
        let mut projects: BTreeMap<String, Role> = app_metadata
            .get("projects")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(reference, word)| Some((reference.clone(), Role::from_stored(word.as_str()?)?)))
            .collect();
        Self {
            everywhere: projects.remove("*"),
            projects,
            platform_admin: app_metadata.get("platform_role").and_then(Value::as_str) == Some("admin"),
        }
    }

    /// Gives the highest role of these grants on a project.
    fn role_on(&self, reference: &str) -> Option<Role> {
        let owner = self.platform_admin.then_some(Role::Owner);
        owner.max(self.projects.get(reference).copied()).max(self.everywhere)
    }
}

impl Principal {
    /// Gives the caller's role on the project `reference`; `None` means that the project does not exist for the caller.
    ///
    /// `stored` is the role that memberships in the registry give [`Self::user`] there. A project's service key has no
    /// memberships, so `stored` does not count for it.
    pub fn role_on(&self, reference: &str, stored: Option<Role>) -> Option<Role> {
        match self {
            Self::User { grants, .. } => grants.role_on(reference).max(stored),
            Self::ProjectService { reference: own } => (own == reference).then_some(Role::Admin),
        }
    }

    /// Gives the user's name in memberships; `None` for a project's service key.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User { subject, .. } => Some(subject),
            Self::ProjectService { .. } => None,
        }
    }

    /// Tells which organizations and projects the caller sees in lists.
    pub fn visibility(&self) -> Visibility {
        match self {
            Self::User { grants, .. } if grants.platform_admin || grants.everywhere.is_some() => {
                Visibility::All
            }
            Self::User { subject, grants } => {
                let references = grants.projects.keys().cloned().collect();
                Visibility::Member { user_id: subject.clone(), references }
            }
            Self::ProjectService { reference } => {
                Visibility::Member { user_id: String::new(), references: vec![reference.clone()] }
            }
        }
    }

    /// Tells whether the caller may manage the whole platform, for example reload plugins.
    pub fn is_platform_admin(&self) -> bool {
        matches!(self, Self::User { grants: Grants { platform_admin: true, .. }, .. })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { subject, .. } => write!(formatter, "user:{subject}"),
            Self::ProjectService { reference } => write!(formatter, "service_role:{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(app_metadata: Value) -> Principal {
        Principal::User { subject: "u1".to_owned(), grants: Grants::from_app_metadata(&app_metadata) }
    }

    #[test]
    fn role_is_the_highest_of_membership_claim_and_everywhere() {
        let user = user(json!({"projects": {"acme": "developer", "*": "viewer"}}));
        assert_eq!(user.role_on("acme", None), Some(Role::Developer));
        assert_eq!(user.role_on("acme", Some(Role::Owner)), Some(Role::Owner));
        assert_eq!(user.role_on("acme", Some(Role::Viewer)), Some(Role::Developer));
        assert_eq!(user.role_on("other", None), Some(Role::Viewer));
        assert_eq!(user.role_on("other", Some(Role::Admin)), Some(Role::Admin));
    }

    #[test]
    fn star_is_no_project() {
        assert_eq!(user(json!({"projects": {"acme": "admin"}})).role_on("*", None), None);
    }

    #[test]
    fn platform_admin_owns_every_project() {
        let admin = user(json!({"platform_role": "admin"}));
        assert!(admin.is_platform_admin());
        assert_eq!(admin.role_on("anything", None), Some(Role::Owner));
        assert!(!user(json!({"platform_role": "member"})).is_platform_admin());
    }

    #[test]
    fn unknown_or_misshapen_claims_give_nothing() {
        for app_metadata in [
            json!(null),
            json!("admin"),
            json!({"projects": ["acme"]}),
            json!({"projects": {"acme": "emperor"}}),
            json!({"projects": {"acme": 4}, "platform_role": true}),
            json!({"projects": {"acme": {"role": "admin"}}, "platform_role": ["admin"]}),
        ] {
            let user = user(app_metadata.clone());
            assert_eq!(user.role_on("acme", None), None, "{app_metadata}");
            assert!(!user.is_platform_admin(), "{app_metadata}");
        }
    }

    #[test]
    fn project_service_is_admin_of_its_own_project_alone() {
        let service = Principal::ProjectService { reference: "acme".to_owned() };
        assert_eq!(service.role_on("acme", None), Some(Role::Admin));
        assert_eq!(service.role_on("acme", Some(Role::Owner)), Some(Role::Admin));
        assert_eq!(service.role_on("other", Some(Role::Owner)), None);
        assert!(!service.is_platform_admin());
        assert_eq!(service.user(), None);
    }

    #[test]
    fn display_says_who_it_is() {
        assert_eq!(user(json!(null)).to_string(), "user:u1");
        assert_eq!(Principal::ProjectService { reference: "acme".into() }.to_string(), "service_role:acme");
    }
}
