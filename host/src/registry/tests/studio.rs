//! Tests of a Studio's tables that are stricter than the gateway's, and of databases that an older gateway migrated.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::*;

/// The first texts of migrations that were changed later.
const SUPERSEDED: [&str; 2] = [
    include_str!("superseded/001_organizations_projects_credentials.sql"),
    include_str!("superseded/002_connections_members_audit.sql"),
];

const USER: &str = "22222222-2222-4222-8222-222222222222";

/// Applies the first `count` migrations as an older gateway did.
async fn migrate_as_before(fixture: &Fixture, count: usize) {
    let migrations = (1..).zip(SUPERSEDED).take(count).map(|(version, text)| {
        Migration::new(version, "before".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name("platform.gateway_migrations");
    migrator.create_schema("platform");
    let mut connection = fixture.store.writer.acquire().await.unwrap();
    migrator.run_direct(None, &mut *connection, false).await.unwrap();
}

fn record_of(action: &str) -> AuditRecord {
    AuditRecord { action: action.to_owned(), ..record() }
}

#[tokio::test]
async fn a_gateway_that_ran_before_keeps_its_audit_trail() {
    let fixture = Fixture::empty_postgres().await;
    migrate_as_before(&fixture, 2).await;
    fixture
        .execute("INSERT INTO platform.audit_logs (at, action, result) VALUES (now(), 'before', 'ok')")
        .await;
    assert_eq!(fixture.registry().pending_migrations().await.unwrap(), 1);
    let survey = fixture.registry().survey().await.unwrap();
    assert!(survey.facts.iter().any(|fact| fact.contains("older gateway") && fact.ends_with(": audit_logs")));
    assert_eq!(fixture.registry().migrate().await.unwrap(), 1);
    assert_eq!(fixture.registry().migrate().await.unwrap(), 0);
    fixture.registry().append_audit(&[record_of("after")]).await.unwrap();
    let actions = "SELECT string_agg(action, ' ' ORDER BY at) FROM platform.gateway_audit_logs";
    assert_eq!(fixture.read(actions).await, "before after");
    // A Studio may use the old names again.
    let left = "SELECT CAST(COUNT(*) AS text) FROM pg_class WHERE relname LIKE 'audit\\_logs%'";
    assert_eq!(fixture.read(left).await, "0");
    assert_eq!(fixture.registry().survey().await.unwrap().problems, []);
}

/// Applies the migrations up to this version to a file as an older gateway did.
async fn migrate_file_as_before(fixture: &Fixture, version: i64) {
    let mut migrator = sqlx::migrate!("../migrations/sqlite");
    migrator.dangerous_set_table_name("gateway_migrations");
    migrator.set_locking(false);
    let mut connection = fixture.store.writer.acquire().await.unwrap();
    migrator.run_direct(Some(version), &mut *connection, false).await.unwrap();
}

#[tokio::test]
async fn a_file_of_before_keeps_its_audit_trail() {
    let fixture = Fixture::empty_sqlite().await;
    migrate_file_as_before(&fixture, 2).await;
    fixture
        .execute(
            "INSERT INTO audit_logs (at, action, result) VALUES ('2024-05-06T07:08:09.000Z', 'before', 'ok')",
        )
        .await;
    assert_eq!(fixture.registry().migrate().await.unwrap(), 2);
    fixture.registry().append_audit(&[record_of("after")]).await.unwrap();
    let actions = "SELECT group_concat(action, ' ') FROM (SELECT action FROM gateway_audit_logs ORDER BY at)";
    assert_eq!(fixture.read(actions).await, "before after");
}

#[tokio::test]
async fn rows_of_the_audit_trail_stay_as_they_were() {
    let fixture = Fixture::empty_sqlite().await;
    migrate_file_as_before(&fixture, 3).await;
    fixture
        .execute(
            "INSERT INTO gateway_audit_logs
                 (at, user_id, action, project_ref, target, result, remote_address, request_id)
             WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 499)
             SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + n, 'unixepoch'), 'user:' || n, 'write',
                 CASE n % 3 WHEN 0 THEN NULL ELSE 'p' || n % 3 END, 't' || n, 'ok', '::1', 'r' || n
             FROM numbers",
        )
        .await;
    let rows = "SELECT group_concat(concat_ws('|', id, at, user_id, action, project_ref, target, result, remote_address,
                    request_id), ';') FROM (SELECT * FROM gateway_audit_logs ORDER BY at, id)";
    let before = fixture.read(rows).await;
    assert_eq!(before.split(';').count(), 500);
    assert_eq!(fixture.registry().migrate().await.unwrap(), 1);
    assert_eq!(fixture.read(rows).await, before);
}

#[tokio::test]
async fn a_database_left_half_migrated_is_migrated_to_the_end() {
    let fixture = Fixture::empty_postgres().await;
    migrate_as_before(&fixture, 1).await;
    fixture
        .execute(
            "CREATE TABLE platform.audit_logs (id uuid, user_id uuid, action text, created_at timestamptz);
             INSERT INTO platform.audit_logs (action) VALUES ('theirs')",
        )
        .await;
    assert_eq!(fixture.registry().migrate().await.unwrap(), 2);
    fixture.registry().append_audit(&[record_of("ours")]).await.unwrap();
    assert_eq!(fixture.read("SELECT string_agg(action, ' ') FROM platform.audit_logs").await, "theirs");
}

#[tokio::test]
async fn a_migration_with_a_text_that_is_not_known_is_refused() {
    let fixture = Fixture::postgres().await;
    fixture.execute("UPDATE platform.gateway_migrations SET checksum = '\\x00' WHERE version = 2").await;
    let error = fixture.registry().migrate().await.unwrap_err();
    assert!(matches!(&error, RegistryError::Migration(reason) if reason.contains("migration 2")), "{error}");
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing_behind() {
    let fixture = Fixture::empty_postgres().await;
    fixture
        .execute(
            "CREATE SCHEMA platform;
             CREATE TABLE platform.projects (id int PRIMARY KEY, ref text);
             INSERT INTO platform.projects VALUES (1, 'twin'), (2, 'twin')",
        )
        .await;
    fixture.registry().migrate().await.unwrap_err();
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class
                  WHERE relnamespace = 'platform'::regnamespace AND relkind = 'r'";
    assert_eq!(fixture.read(tables).await, "projects");
}

#[tokio::test]
async fn a_table_without_the_columns_that_nothing_can_add_is_named() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute("CREATE SCHEMA platform; CREATE TABLE platform.project_members (member text)").await;
    let error = fixture.registry().migrate().await.unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("`platform.project_members`") && words.contains("`project_id`, `user_id`"),
        "{words}"
    );
}

/// A Studio in which every column is required.
const STRICT: &str = "
    CREATE SCHEMA platform;
    CREATE DOMAIN public.named AS text NOT NULL CHECK (VALUE <> '');
    CREATE TYPE public.member_role AS ENUM ('OWNER', 'ADMIN', 'MEMBER');
    CREATE TABLE platform.organizations (
        id uuid PRIMARY KEY, name public.named, slug varchar(10) NOT NULL UNIQUE, created_at timestamptz NOT NULL,
        \"order\" date NOT NULL);
    CREATE TABLE platform.organization_members (
        id text PRIMARY KEY, organization_id uuid NOT NULL, user_id uuid NOT NULL, role public.member_role NOT NULL);
    CREATE TABLE platform.projects (
        id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES platform.organizations, name public.named,
        slug text NOT NULL, ref text NOT NULL UNIQUE, database_host text NOT NULL CHECK (database_host <> ''),
        database_port integer NOT NULL, database_name text NOT NULL, database_user text NOT NULL,
        database_password text NOT NULL);
    CREATE TABLE platform.credentials (
        project_id uuid PRIMARY KEY REFERENCES platform.projects,
        anon_key text NOT NULL CONSTRAINT keys_given CHECK (anon_key <> ''), jwt_secret text NOT NULL);
    CREATE TABLE platform.project_members (
        project_id uuid NOT NULL, user_id uuid NOT NULL, role public.member_role NOT NULL);
";

#[track_caller]
fn assert_unacceptable<T: std::fmt::Debug>(result: Result<T, RegistryError>, column: &str, words: &str) {
    match result {
        Err(RegistryError::Unacceptable { field, reason }) if field == column && reason.contains(words) => {}
        other => panic!("not `{column} {words}`: {other:?}"),
    }
}

#[tokio::test]
async fn a_strict_studio_works_or_names_the_column_that_stops_it() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STRICT).await;
    fixture.registry().migrate().await.unwrap();
    let registry = fixture.registry();
    let new = NewOrganization { owner: USER.to_owned(), billing_email: None, ..acme() };
    let mailed = NewOrganization { billing_email: Some("a@b.test".to_owned()), ..new.clone() };
    assert_unacceptable(
        registry.create_organization(mailed, &record()).await,
        "billing_email",
        "has no column",
    );
    let long = NewOrganization { slug: "a".repeat(11), ..new.clone() };
    assert_unacceptable(registry.create_organization(long, &record()).await, "slug", "at most 10 characters");
    let acme = registry.create_organization(new, &record()).await.unwrap();
    assert_eq!(fixture.read("SELECT role::text FROM platform.organization_members").await, "OWNER");
    assert_eq!(registry.organization_role("acme", USER).await.unwrap(), Some(Role::Owner));

    assert_unacceptable(
        registry.create_project(shop(&acme.id), &record()).await,
        "database_host",
        "database_host <> ''",
    );
    assert!(registry.find_project("shop").await.unwrap().is_none());
    let database = ProjectDatabase {
        host: "127.0.0.1".to_owned(),
        port: 5432,
        name: "shop".to_owned(),
        user: "shop".to_owned(),
    };
    registry
        .create_project(NewProject { database: Some(database), ..shop(&acme.id) }, &record())
        .await
        .unwrap();

    registry.put_member("shop", USER, Role::Viewer, &record()).await.unwrap();
    assert_eq!(fixture.read("SELECT role::text FROM platform.project_members").await, "MEMBER");
    assert_unacceptable(
        registry.put_member("shop", USER, Role::Developer, &record()).await,
        "role",
        "it takes OWNER, ADMIN, MEMBER",
    );
    assert_unacceptable(
        registry.put_member("shop", "vera", Role::Viewer, &record()).await,
        "user_id",
        "must be a uuid",
    );
    let sealed = keyring(1, &[]).seal(&jwt_secret_place("shop"), "secret");
    assert_unacceptable(
        registry.set_project_jwt_secret("shop", &sealed, &record()).await,
        "anon_key",
        "keys_given",
    );
    registry.delete_project("shop", &record()).await.unwrap();
}

#[tokio::test]
async fn an_unfilled_column_is_named_and_a_triggers_text_passed_on() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STRICT).await;
    fixture.registry().migrate().await.unwrap();
    fixture.execute("ALTER TABLE platform.organizations ADD COLUMN region text NOT NULL").await;
    let new = NewOrganization { owner: USER.to_owned(), billing_email: None, ..acme() };
    let registry = fixture.registry();
    assert_unacceptable(registry.create_organization(new.clone(), &record()).await, "region", "is required");
    fixture
        .execute(
            "CREATE FUNCTION platform.decide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.name = 'Acme' THEN RAISE EXCEPTION 'the plan has no room for %', NEW.name; END IF;
                 NEW.region := 'here';
                 RETURN NEW;
             END $$;
             CREATE TRIGGER decide BEFORE INSERT ON platform.organizations
                 FOR EACH ROW EXECUTE FUNCTION platform.decide()",
        )
        .await;
    let error = registry.create_organization(new.clone(), &record()).await.unwrap_err();
    assert_eq!(error, RegistryError::Refused("the plan has no room for Acme".to_owned()));
    registry
        .create_organization(NewOrganization { name: "Other".to_owned(), ..new }, &record())
        .await
        .unwrap();
}

#[tokio::test]
async fn survey_tells_planned_additions_and_locked_sequences() {
    let fixture = Fixture::empty_postgres().await;
    let role = format!("numbers_{}", uuid::Uuid::new_v4().simple());
    let statements = format!(
        "CREATE SCHEMA platform;
         CREATE TABLE platform.organizations (id serial PRIMARY KEY, name text NOT NULL);
         CREATE TABLE platform.projects (id serial PRIMARY KEY, ref text NOT NULL, name text);
         CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA platform TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA platform TO {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&fixture.store.writer).await.unwrap();
    let facts = fixture.registry().survey().await.unwrap().facts.join("\n");
    for words in [
        "`platform.organizations`, which lacks them: the columns `slug`, a unique index on `slug`",
        "`database_password`, a unique index on `ref`",
    ] {
        assert!(facts.contains(words), "{facts}");
    }
    fixture.registry().migrate().await.unwrap();
    let facts = fixture.registry().survey().await.unwrap().facts.join("\n");
    assert!(!facts.contains("the migrations add"), "{facts}");

    let (scheme, rest) = fixture.url.expose_secret().split_once("://").unwrap();
    let place = rest.split_once('@').unwrap().1;
    let lesser = open(&format!("{scheme}://{role}@{place}").into()).await.unwrap();
    let survey = lesser.survey().await.unwrap();
    let problems: Vec<_> = survey.problems.iter().map(|problem| problem.text.as_str()).collect();
    for table in ["organizations", "projects"] {
        let grant = format!("GRANT USAGE ON SEQUENCE platform.{table}_id_seq TO {role};");
        assert!(problems.iter().any(|problem| problem.ends_with(&grant)), "{problems:#?}");
    }
    drop(lesser);
    let statements = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&fixture.store.writer).await.unwrap();
}
