//! The tables that the gateway uses, and its requirements on them.

/// The owner of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A Studio, if there is one; otherwise the gateway makes the table.
    Studio,
    /// Always the gateway.
    Gateway,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) owner: Owner,
    /// Columns that must exist.
    pub(super) columns: &'static [&'static str],
    /// Further columns of a Studio's table that must exist; the migrations add missing ones.
    pub(super) added: &'static [&'static str],
    /// A column whose values must be unique; the migrations make an index if there is none.
    pub(super) unique: Option<&'static str>,
    /// The rights on its rows that the gateway needs.
    pub(super) rights: &'static [&'static str],
    /// The right without which the gateway does not start: it would do harm without an error.
    pub(super) essential: &'static str,
}

const EVERYTHING: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

/// All tables that the gateway uses.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "organizations",
        owner: Owner::Studio,
        columns: &["id", "name"],
        added: &["slug"],
        unique: Some("slug"),
        rights: &["SELECT", "INSERT"],
        essential: "SELECT",
    },
    Table {
        name: "projects",
        owner: Owner::Studio,
        columns: &["id", "ref"],
        added: &[
            "organization_id",
            "name",
            "slug",
            "database_host",
            "database_port",
            "database_name",
            "database_user",
            "database_password",
        ],
        unique: Some("ref"),
        rights: EVERYTHING,
        essential: "SELECT",
    },
    Table {
        name: "credentials",
        owner: Owner::Studio,
        columns: &["project_id"],
        added: &["jwt_secret"],
        unique: None,
        rights: EVERYTHING,
        essential: "SELECT",
    },
    Table {
        name: "organization_members",
        owner: Owner::Studio,
        columns: &["organization_id", "user_id"],
        added: &["role"],
        unique: None,
        rights: &["SELECT", "INSERT"],
        essential: "SELECT",
    },
    Table {
        name: "project_members",
        owner: Owner::Studio,
        columns: &["project_id", "user_id"],
        added: &["role"],
        unique: None,
        rights: EVERYTHING,
        essential: "SELECT",
    },
    Table {
        name: "database_connections",
        owner: Owner::Gateway,
        columns: &[
            "id",
            "project_id",
            "database_type",
            "identifier",
            "host",
            "port",
            "database_name",
            "username",
            "password",
            "connection_string",
            "options",
            "is_primary",
            "status",
            "settings_version",
            "created_at",
            "updated_at",
        ],
        added: &[],
        unique: None,
        rights: EVERYTHING,
        essential: "SELECT",
    },
    Table {
        name: "gateway_audit_logs",
        owner: Owner::Gateway,
        columns: &[
            "id",
            "at",
            "user_id",
            "action",
            "project_ref",
            "target",
            "result",
            "remote_address",
            "request_id",
        ],
        added: &[],
        unique: None,
        rights: &["INSERT"],
        essential: "INSERT",
    },
    Table {
        name: "gateway_migrations",
        owner: Owner::Gateway,
        columns: &["version", "description", "installed_on", "success", "checksum", "execution_time"],
        added: &[],
        unique: None,
        rights: &["SELECT"],
        essential: "SELECT",
    },
];

/// Tells whether the gateway uses the table `name`.
pub(super) fn is_used(name: &str) -> bool {
    TABLES.iter().any(|table| table.name == name)
}
