//! What `check` and the start say of a Studio's platform database, and of a login that lacks rights there.

use std::process::Output;
use studio_gateway_tests::{AuditShape, Gateway, GatewayOptions, Registry, StudioDatabase, Token, people};

async fn prepared(studio: &StudioDatabase, login: &str) -> Gateway {
    Gateway::prepare(GatewayOptions::new(Registry::Sqlite).set("DATABASE_URL", &studio.url(login))).await
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn says(output: &Output, words: &[&str]) {
    let text = text(output);
    let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?} in:\n{text}");
}

/// The statements that lines of `check` end with, up to the first `;`.
fn statements(output: &Output) -> Vec<String> {
    let text = text(output);
    let starts = ["GRANT ", "CREATE POLICY "];
    let of_line = |line: &str| {
        let start = starts.iter().filter_map(|start| line.find(start)).min()?;
        let end = line[start..].find(';')?;
        Some(line[start..=start + end].to_owned())
    };
    text.lines().filter_map(of_line).collect()
}

#[tokio::test]
async fn check_tells_whose_tables_there_are_and_changes_nothing() {
    let studio = StudioDatabase::create(AuditShape::Present).await;
    let before = (studio.snapshot().await, studio.tables().await);
    let gateway = prepared(&studio, &studio.owner).await;
    let found = gateway.run_cli(&["check"]);
    assert!(found.status.success(), "{}", text(&found));
    says(&found, &["login", &studio.owner]);
    says(&found, &["Studio's tables", "credentials", "organization_members", "projects"]);
    says(&found, &["never touches", "audit_logs", "databases", "invoices", "user_sessions", "users"]);
    says(&found, &["project_members.role takes", "owner, admin, developer, read_only"]);
    says(&found, &["organization_members.role takes", "billing_admin, member"]);
    says(&found, &["row level security is switched on", "audit_logs", "projects", "users"]);
    says(&found, &["3 migrations to apply"]);
    assert!(!text(&found).contains("the migrations add"), "{}", text(&found));
    assert_eq!((studio.snapshot().await, studio.tables().await), before);

    let migrated = gateway.run_cli(&["migrate"]);
    assert!(migrated.status.success(), "{}", text(&migrated));
    let found = gateway.run_cli(&["check"]);
    assert!(found.status.success(), "{}", text(&found));
    says(&found, &["own tables", "database_connections", "gateway_audit_logs", "gateway_migrations"]);
    says(&found, &["up to date"]);
    assert_eq!(studio.snapshot().await, before.0);
}

#[tokio::test]
async fn check_lists_the_statements_that_let_a_lesser_login_work() {
    let studio = StudioDatabase::create(AuditShape::Present).await;
    let lesser = prepared(&studio, &studio.lesser).await;
    // Nothing is there yet, and it may make nothing.
    let found = lesser.run_cli(&["check"]);
    assert!(!found.status.success());
    says(&found, &["GRANT USAGE ON SCHEMA platform TO", &studio.lesser]);
    studio.run_as_owner(&format!("GRANT USAGE ON SCHEMA platform TO {}", studio.lesser)).await;
    let found = lesser.run_cli(&["check"]);
    says(&found, &["may not make the gateway's tables", "studio-gateway migrate", "GRANT CREATE ON SCHEMA"]);
    let tables = studio.tables().await;
    let refused = lesser.run_cli(&["migrate"]);
    assert!(!refused.status.success());
    says(&refused, &["may not make the gateway's tables", "GRANT CREATE ON SCHEMA"]);
    assert_eq!(studio.tables().await, tables);

    let owner = prepared(&studio, &studio.owner).await;
    assert!(owner.run_cli(&["migrate"]).status.success());
    let mut lesser = prepared(&studio, &studio.lesser).await;
    let before = studio.snapshot().await;
    let found = lesser.run_cli(&["check"]);
    assert!(!found.status.success());
    assert_eq!(studio.snapshot().await, before);
    let statements = statements(&found);
    assert!(statements.len() > 10, "{statements:#?}");
    lesser.fails_to_start().await.says(&["may not", "SELECT", "platform.projects"]);
    studio.run_as_owner(&statements.join("\n")).await;
    let found = lesser.run_cli(&["check"]);
    assert!(found.status.success(), "{}", text(&found));
    lesser.start_again().await;
    let owner = lesser.client(&Token::user(people::OWNER));
    assert_eq!(owner.get("/api/platform/projects").await.expect(200).items().len(), 1);
}

#[tokio::test]
async fn rows_that_are_hidden_stop_the_start_by_table() {
    let studio = StudioDatabase::create(AuditShape::Present).await;
    let owner = prepared(&studio, &studio.owner).await;
    assert!(owner.run_cli(&["migrate"]).status.success());
    studio
        .run_as_owner(&format!(
            "GRANT USAGE ON SCHEMA platform TO {0};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA platform TO {0}",
            studio.lesser
        ))
        .await;
    let mut lesser = prepared(&studio, &studio.lesser).await;
    let failed = lesser.fails_to_start().await;
    for table in ["organizations", "projects", "credentials", "organization_members", "project_members"] {
        let mend = format!("CREATE POLICY studio_gateway ON platform.{table} TO {}", studio.lesser);
        failed.says(&["row level security hides rows", &mend]);
    }
    assert!(!failed.log.contains("hides rows of platform.users"), "{}", failed.log);
    // One word for all of them.
    studio.database.run(&format!("ALTER ROLE {} BYPASSRLS", studio.lesser)).await;
    lesser.start_again().await;
    lesser.stop().await;
    studio.database.run(&format!("ALTER ROLE {} NOBYPASSRLS", studio.lesser)).await;
    lesser.fails_to_start().await.says(&["row level security"]);
}

#[tokio::test]
async fn row_level_security_forced_on_the_owner_stops_the_start() {
    let studio = StudioDatabase::create(AuditShape::Older).await;
    studio.run_as_owner("ALTER TABLE platform.project_members FORCE ROW LEVEL SECURITY").await;
    let mut gateway = prepared(&studio, &studio.owner).await;
    let failed = gateway.fails_to_start().await;
    failed.says(&["hides rows of platform.project_members", "though it owns the table", "CREATE POLICY"]);
    let found = gateway.run_cli(&["check"]);
    assert!(!found.status.success());
    studio.run_as_owner(&statements(&found).join("\n")).await;
    gateway.start_again().await;
    // A policy for everyone that takes rows away again is no less hidden.
    studio
        .run_as_owner(
            "CREATE POLICY open_hours ON platform.project_members AS RESTRICTIVE
             USING (current_setting('app.current_user_id', true) <> '')",
        )
        .await;
    gateway.stop().await;
    gateway.fails_to_start().await.says(&["platform.project_members", "open_hours", "BYPASSRLS"]);
}

#[tokio::test]
async fn a_clashing_table_is_named_and_nothing_is_made() {
    for (table, missing) in
        [("database_connections", "settings_version"), ("gateway_audit_logs", "project_ref")]
    {
        let studio = StudioDatabase::create(AuditShape::Present).await;
        studio
            .run_as_owner(&format!("CREATE TABLE platform.{table} (id uuid, host text, at timestamptz)"))
            .await;
        let tables = studio.tables().await;
        let mut gateway = prepared(&studio, &studio.owner).await;
        gateway.fails_to_start().await.says(&[&format!("`platform.{table}` is there already"), missing]);
        for command in ["check", "migrate"] {
            let refused = gateway.run_cli(&[command]);
            assert!(!refused.status.success());
            says(&refused, &[&format!("`platform.{table}` is there already"), missing]);
        }
        assert_eq!(studio.tables().await, tables);
    }
}

#[tokio::test]
async fn what_was_added_can_be_taken_away() {
    let studio = StudioDatabase::create(AuditShape::Present).await;
    let before = (studio.snapshot().await, studio.tables().await);
    let mut gateway = prepared(&studio, &studio.owner).await;
    gateway.start_again().await;
    gateway.stop().await;
    studio
        .run_as_owner(
            "DROP TABLE platform.database_connections, platform.gateway_audit_logs, platform.gateway_migrations",
        )
        .await;
    assert_eq!((studio.snapshot().await, studio.tables().await), before);
}
