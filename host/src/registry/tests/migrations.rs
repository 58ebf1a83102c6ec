//! Tests of migrations, above all over the tables of an older Studio.

use super::*;

on_both_databases!(migrating_again_changes_nothing, a_database_migrated_by_another_version_is_refused,);

async fn migrating_again_changes_nothing(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    assert_eq!(registry.pending_migrations().await.unwrap(), 0);
    registry.migrate().await.unwrap();
    assert!(registry.find_project("shop").await.unwrap().is_some());
}

async fn a_database_migrated_by_another_version_is_refused(fixture: Fixture) {
    fixture.execute("UPDATE gateway_migrations SET version = 900 WHERE version = 2").await;
    // Twice: the first failure must not keep the lock.
    for _ in 0..2 {
        let error = fixture.registry().migrate().await.unwrap_err();
        assert!(matches!(&error, RegistryError::Migration(reason) if reason.contains("900")), "{error}");
    }
}

#[tokio::test]
async fn counting_pending_migrations_changes_nothing() {
    for (fixture, count) in [(Fixture::empty_sqlite().await, 4), (Fixture::empty_postgres().await, 3)] {
        assert_eq!(fixture.registry().pending_migrations().await.unwrap(), count);
        assert_eq!(fixture.registry().pending_migrations().await.unwrap(), count);
        let error = fixture.registry().find_project("shop").await.unwrap_err();
        assert!(matches!(error, RegistryError::Failed(_)), "{error}");
        fixture.registry().migrate().await.unwrap();
        assert_eq!(fixture.registry().pending_migrations().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn other_programs_migrations_in_the_database_are_left_alone() {
    let fixture = Fixture::empty_postgres().await;
    fixture
        .execute(
            "CREATE TABLE public._sqlx_migrations (version bigint PRIMARY KEY, note text);
             INSERT INTO public._sqlx_migrations VALUES (1, 'theirs'), (7, 'theirs');
             CREATE TABLE public.projects (id int, note text);",
        )
        .await;
    fixture.registry().migrate().await.unwrap();
    assert_eq!(
        fixture.read("SELECT string_agg(note, '') FROM public._sqlx_migrations").await,
        "theirstheirs"
    );
    assert_eq!(
        fixture.read("SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'platform'").await,
        "credentials database_connections gateway_audit_logs gateway_migrations organization_members organizations \
         project_members projects"
    );
    assert!(fixture.registry().list_projects(&Visibility::All, 100, 0).await.unwrap().items.is_empty());
}

/// A Studio with uuid ids, enums, NOT NULL everywhere, foreign keys that do not cascade, and one membership twice.
const STUDIO_WITH_UUIDS: &str = "
    CREATE SCHEMA platform;
    CREATE TYPE public.member_role AS ENUM ('owner', 'admin', 'developer', 'read_only');
    CREATE TYPE public.project_status AS ENUM ('ACTIVE_HEALTHY', 'PAUSED');
    CREATE TABLE platform.organizations (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, slug text NOT NULL UNIQUE,
        billing_email text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz DEFAULT now());
    CREATE TABLE platform.projects (
        id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES platform.organizations (id),
        name text NOT NULL, slug text NOT NULL, ref varchar(64) NOT NULL UNIQUE, database_host text NOT NULL,
        database_port integer NOT NULL, database_name text NOT NULL, database_user text NOT NULL,
        database_password text NOT NULL, postgres_meta_url text NOT NULL, supabase_url text NOT NULL,
        status public.project_status NOT NULL DEFAULT 'ACTIVE_HEALTHY', created_at timestamp DEFAULT now());
    CREATE TABLE platform.credentials (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), project_id uuid NOT NULL REFERENCES platform.projects (id),
        anon_key text NOT NULL, service_role_key text NOT NULL, jwt_secret text NOT NULL);
    CREATE TABLE platform.organization_members (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        organization_id uuid NOT NULL REFERENCES platform.organizations (id),
        user_id uuid NOT NULL, role public.member_role NOT NULL DEFAULT 'read_only', created_at timestamptz DEFAULT now());
    INSERT INTO platform.organizations (name, slug, billing_email) VALUES ('Old', 'old', 'old@old.test');
    INSERT INTO platform.projects
        SELECT '11111111-1111-4111-8111-111111111111', id, 'Legacy', 'legacy-slug', 'legacy', 'db.old.test', 6432, 'app',
               'app_user', 'plain-password', 'http://meta', 'http://kong', 'PAUSED', '2020-01-02 03:04:05.678901'
        FROM platform.organizations;
    INSERT INTO platform.credentials (project_id, anon_key, service_role_key, jwt_secret)
        VALUES ('11111111-1111-4111-8111-111111111111', 'a', 's', 'plain-jwt-secret');
    INSERT INTO platform.organization_members (organization_id, user_id, role)
        SELECT o.id, '22222222-2222-4222-8222-222222222222', r.role::public.member_role
        FROM platform.organizations o, (VALUES ('read_only'), ('developer')) r (role);
";

/// A Studio with serial ids, few columns, and nothing unique.
const STUDIO_WITH_SERIALS: &str = "
    CREATE SCHEMA platform;
    CREATE TABLE platform.organizations (id serial PRIMARY KEY, name varchar(255) NOT NULL);
    CREATE TABLE platform.projects (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id integer, name varchar(255),
        ref varchar(64), database_host varchar(255), database_port text, database_name text, database_user text,
        database_password text);
    CREATE TABLE platform.credentials (project_id bigint, jwt_secret varchar(200));
    CREATE TABLE platform.organization_members (organization_id integer, user_id varchar(64), role varchar(20));
    INSERT INTO platform.organizations (name) VALUES ('Old');
    INSERT INTO platform.projects (organization_id, name, ref, database_host, database_port, database_name,
                                   database_user, database_password)
        VALUES (1, 'Legacy', 'legacy', 'db.old.test', '6432', 'app', 'app_user', 'plain-password'),
               (NULL, NULL, 'orphan', NULL, NULL, NULL, NULL, NULL);
    INSERT INTO platform.credentials VALUES (1, 'plain-jwt-secret');
    INSERT INTO platform.organization_members VALUES (1, '22222222-2222-4222-8222-222222222222', 'read_only'),
        (1, '22222222-2222-4222-8222-222222222222', 'Developer'), (1, 'x', NULL), (1, NULL, 'owner');
";

const USER: &str = "22222222-2222-4222-8222-222222222222";
const OTHER_USER: &str = "33333333-3333-4333-8333-333333333333";

#[tokio::test]
async fn a_studio_with_uuid_ids_is_taken_over() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STUDIO_WITH_UUIDS).await;
    fixture.registry().migrate().await.unwrap();

    let project = fixture.registry().find_project("legacy").await.unwrap().unwrap();
    assert_eq!((project.slug.as_str(), project.status.as_str()), ("legacy-slug", "PAUSED"));
    assert_eq!(project.created_at.as_deref(), Some("2020-01-02T03:04:05.678Z"));
    assert_eq!(project.organization_slug.as_deref(), Some("old"));
    use_studio(&fixture, "old").await;
    // The user column is a uuid here: another user id is refused, and not stored in another form.
    let nobody = NewOrganization { slug: "new".to_owned(), owner: "not-a-uuid".to_owned(), ..acme() };
    assert_unacceptable(
        fixture.registry().create_organization(nobody, &record()).await,
        "user_id",
        "must be a uuid",
    );
    assert!(fixture.registry().find_organization("new").await.unwrap().is_none());
}

#[tokio::test]
async fn a_studio_with_serial_ids_and_few_columns_is_taken_over() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STUDIO_WITH_SERIALS).await;
    fixture.registry().migrate().await.unwrap();

    let project = fixture.registry().find_project("legacy").await.unwrap().unwrap();
    assert_eq!((project.id.as_str(), project.slug.as_str()), ("1", "legacy"));
    assert_eq!(project.organization_slug.as_deref(), Some("1"));
    let orphan = fixture.registry().find_project("orphan").await.unwrap().unwrap();
    assert_eq!((orphan.name.as_str(), orphan.organization_id, orphan.database), ("orphan", None, None));
    assert!(fixture.registry().list_members("orphan").await.unwrap().is_empty());
    assert_eq!(fixture.registry().find_access("orphan", USER).await.unwrap().unwrap().role, None);
    use_studio(&fixture, "1").await;
}

fn assert_unacceptable<T: std::fmt::Debug>(result: Result<T, RegistryError>, column: &str, words: &str) {
    match result {
        Err(RegistryError::Unacceptable { field, reason }) if field == column && reason.contains(words) => {}
        other => panic!("not `{column} {words}`: {other:?}"),
    }
}

/// Uses an older Studio's rows as the gateway does, and adds rows beside them.
async fn use_studio(fixture: &Fixture, organization: &str) {
    let registry = fixture.registry();
    let keyring = keyring(1, &[]);

    // The old rows are read.
    let project = registry.find_project("legacy").await.unwrap().unwrap();
    assert_eq!(project.name, "Legacy");
    let database = project.database.unwrap();
    assert_eq!((database.host.as_str(), database.port), ("db.old.test", 6432));
    assert_eq!((database.name.as_str(), database.user.as_str()), ("app", "app_user"));
    let password = registry.find_project_database("legacy").await.unwrap().unwrap().password.unwrap();
    let opened = password.open(&keyring, &database_password_place("legacy")).unwrap();
    assert_eq!(opened.expose_secret(), "plain-password");
    assert!(matches!(registry.project_jwt_secret("legacy").await.unwrap(), Some(StoredSecret::Plain(_))));
    assert_eq!(registry.find_access("legacy", USER).await.unwrap().unwrap().role, Some(Role::Developer));
    assert_eq!(registry.organization_role(organization, USER).await.unwrap(), Some(Role::Developer));
    let old = registry.find_organization(organization).await.unwrap().unwrap();
    // One of the Studios has no such column, and the migrations add none.
    old.created_at.iter().for_each(|time| assert_recent(time));
    let visible = Visibility::Member { user_id: USER.to_owned(), references: vec!["orphan".to_owned()] };
    assert_eq!(registry.list_organizations(&visible, 100, 0).await.unwrap().items, [old]);
    assert!(
        registry
            .list_projects(&visible, 100, 0)
            .await
            .unwrap()
            .items
            .iter()
            .any(|project| project.reference == "legacy")
    );
    assert_eq!(registry.list_members("legacy").await.unwrap().len(), 2);
    assert!(registry.list_key_ids().await.unwrap().is_empty());
    assert_eq!(registry.reseal(&keyring, 10).await.unwrap(), Resealed::default());

    // New rows work beside the old ones.
    let acme = NewOrganization { owner: OTHER_USER.to_owned(), billing_email: None, ..acme() };
    let acme = registry.create_organization(acme, &record()).await.unwrap();
    assert_eq!(registry.organization_role("acme", OTHER_USER).await.unwrap(), Some(Role::Owner));
    let created = registry.create_project(shop(&acme.id), &record()).await.unwrap();
    assert!(matches!(created.status.as_str(), "ACTIVE_HEALTHY" | "UNKNOWN") && created.database.is_none());
    assert_eq!(registry.create_project(shop(&acme.id), &record()).await.unwrap_err(), duplicate("ref"));
    for reference in ["legacy", "shop"] {
        registry.put_member(reference, USER, Role::Admin, &record()).await.unwrap();
        registry.put_member(reference, USER, Role::Owner, &record()).await.unwrap();
        let access = registry.find_access(reference, USER).await.unwrap().unwrap();
        assert_eq!(access.role, Some(Role::Owner));
        let secret = keyring.seal(&jwt_secret_place(reference), "new");
        registry.set_project_jwt_secret(reference, &secret, &record()).await.unwrap();
        let connection =
            registry.create_connection(reference, new_connection("redis", "cache"), &record()).await.unwrap();
        assert!(connection.is_primary && connection.project_id == access.project_id);
        assert_eq!(registry.list_connections(reference, None, 10, 0).await.unwrap().total, 1);
    }
    assert_eq!(registry.list_key_ids().await.unwrap(), [keyring.current_key_id()]);

    // All rows of a project go with it, even if the foreign keys do not cascade; and no others.
    registry.delete_project("legacy", &record()).await.unwrap();
    assert_eq!(fixture.read("SELECT CAST(COUNT(*) AS TEXT) FROM credentials").await, "1");
    assert_eq!(registry.list_connections("shop", None, 10, 0).await.unwrap().total, 1);
    assert!(registry.find_organization(organization).await.unwrap().is_some());
    fixture
        .execute(
            "DO $$ BEGIN
                 EXECUTE format('CREATE TABLE platform.backups (project_id %s REFERENCES platform.projects (id))',
                     (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                      WHERE attrelid = 'platform.projects'::regclass AND attname = 'id'));
             END $$;
             INSERT INTO platform.backups SELECT id FROM platform.projects WHERE ref = 'shop'",
        )
        .await;
    let still = RegistryError::StillReferenced { table: Some("backups".to_owned()) };
    assert_eq!(registry.delete_project("shop", &record()).await.unwrap_err(), still);
    assert_eq!(registry.list_connections("shop", None, 10, 0).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_studio_with_its_own_project_members_table_is_taken_over() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STUDIO_WITH_UUIDS).await;
    fixture
        .execute(
            "CREATE TABLE platform.project_members (
                 id serial PRIMARY KEY, project_id uuid REFERENCES platform.projects (id), user_id uuid,
                 role public.member_role)",
        )
        .await;
    fixture.registry().migrate().await.unwrap();
    use_studio(&fixture, "old").await;
    // The enum has no `viewer`, but another name for it.
    fixture.registry().put_member("shop", OTHER_USER, Role::Viewer, &record()).await.unwrap();
    let query = "SELECT role::text FROM platform.project_members WHERE user_id = '33333333-3333-4333-8333-333333333333'";
    assert_eq!(fixture.read(query).await, "read_only");
    assert_eq!(
        fixture.registry().find_access("shop", OTHER_USER).await.unwrap().unwrap().role,
        Some(Role::Owner),
        "of the organization"
    );
}

#[tokio::test]
async fn a_studio_with_two_projects_of_one_ref_is_refused_until_fixed() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STUDIO_WITH_SERIALS).await;
    fixture
        .execute("INSERT INTO platform.projects (organization_id, name, ref) VALUES (1, 'Twin', 'legacy')")
        .await;
    for _ in 0..2 {
        let error = fixture.registry().migrate().await.unwrap_err();
        assert!(matches!(error, RegistryError::Migration(_)), "{error}");
        assert_eq!(fixture.registry().pending_migrations().await.unwrap(), 3);
    }
    fixture.execute("DELETE FROM platform.projects WHERE name = 'Twin'").await;
    fixture.registry().migrate().await.unwrap();
}

#[tokio::test]
async fn a_user_who_does_not_own_the_studios_tables_can_migrate() {
    let fixture = Fixture::empty_postgres().await;
    fixture.execute(STUDIO_WITH_UUIDS).await;
    fixture
        .execute(
            "CREATE ROLE gateway LOGIN;
             GRANT USAGE, CREATE ON SCHEMA platform TO gateway;
             GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON ALL TABLES IN SCHEMA platform TO gateway",
        )
        .await;
    let url = fixture.url.expose_secret().replace("postgres@", "gateway@");
    let registry = open(&url.into()).await.unwrap();
    registry.migrate().await.unwrap();
    registry.create_connection("legacy", new_connection("redis", "cache"), &record()).await.unwrap();
    drop(registry);
    fixture.execute("DROP OWNED BY gateway; DROP ROLE gateway").await;
}
