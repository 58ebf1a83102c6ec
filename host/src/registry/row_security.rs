//! Finds out whether row level security hides rows from the gateway's login.
//!
//! The gateway answers for every user, so it must see every row. PostgreSQL hides rows without an error, and a gateway
//! that does not see a membership would tell its user that the project does not exist.

use std::collections::BTreeMap;

use sqlx::AnyConnection;

use super::RegistryError;
use super::store::text;

/// A policy that applies to the login.
pub(super) struct Policy {
    name: String,
    is_permissive: bool,
    /// `r`, `a`, `w`, `d`, or `*`.
    command: String,
    /// Whether it names the login or a role that the login has, and not only everyone.
    names_login: bool,
    using: String,
    check: String,
}

const POLICIES: &str = "
    SELECT CAST(c.relname AS TEXT) AS relation, CAST(p.polname AS TEXT) AS name,
           CASE WHEN p.polpermissive THEN 'permissive' ELSE '' END AS permissive, CAST(p.polcmd AS TEXT) AS command,
           CASE WHEN EXISTS (SELECT FROM unnest(p.polroles) role
                             WHERE role <> 0 AND pg_has_role(role, 'USAGE')) THEN 'named' ELSE '' END AS named,
           COALESCE(pg_get_expr(p.polqual, p.polrelid), '') AS using_condition,
           COALESCE(pg_get_expr(p.polwithcheck, p.polrelid), '') AS check_condition
    FROM pg_policy p
    JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'platform'
      AND EXISTS (SELECT FROM unnest(p.polroles) role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
    ORDER BY c.relname, p.polname";

/// Reads the policies that apply to the login, by table.
pub(super) async fn policies(
    connection: &mut AnyConnection,
) -> Result<BTreeMap<String, Vec<Policy>>, RegistryError> {
    let mut policies: BTreeMap<String, Vec<Policy>> = BTreeMap::new();
    for row in sqlx::query(POLICIES).fetch_all(connection).await? {
        policies.entry(text(&row, "relation")?).or_default().push(Policy {
            name: text(&row, "name")?,
            is_permissive: !text(&row, "permissive")?.is_empty(),
            command: text(&row, "command")?,
            names_login: !text(&row, "named")?.is_empty(),
            using: text(&row, "using_condition")?,
            check: text(&row, "check_condition")?,
        });
    }
    Ok(policies)
}

impl Policy {
    fn is_for(&self, right: &str) -> bool {
        let letter = match right {
            "SELECT" => "r",
            "INSERT" => "a",
            "UPDATE" => "w",
            _ => "d",
        };
        self.command == "*" || self.command == letter
    }

    /// Tells whether its conditions let every row pass; only a literal `true` counts.
    fn is_open(&self, right: &str) -> bool {
        let check = if self.check.is_empty() { &self.using } else { &self.check };
        match right {
            "INSERT" => check == "true",
            "UPDATE" => self.using == "true" && check == "true",
            _ => self.using == "true",
        }
    }
}

/// Lists the rights that row level security limits to some rows. A policy that names the login, or a role of the login,
/// counts as open whatever its condition is: its author decided what the gateway sees. A policy for everyone counts
/// only if its condition is `true`: other conditions are about a Studio's own users, and the login is none of them.
pub(super) fn limited<'a>(policies: &[Policy], rights: &[&'a str]) -> Vec<&'a str> {
    let is_limited = |right: &&&str| {
        let mut applying = policies.iter().filter(|policy| policy.is_for(right));
        let opened = |policy: &Policy| policy.names_login || policy.is_open(right);
        let restricts = |policy: &Policy| !policy.is_permissive && !opened(policy);
        let is_opened = applying.clone().any(|policy| policy.is_permissive && opened(policy));
        !is_opened || applying.any(restricts)
    };
    rights.iter().filter(is_limited).copied().collect()
}

/// Lists the restrictive policies for everyone. No other policy can make up for these.
pub(super) fn restrictive(policies: &[Policy]) -> Vec<&str> {
    let found = policies.iter().filter(|policy| !policy.is_permissive && !policy.names_login);
    found.map(|policy| policy.name.as_str()).collect()
}
