//! Tests of opening a database.

use super::*;

async fn refusal(url: &str) -> RegistryError {
    Store::open(&SecretString::from(url), QuotaSettings::default()).await.err().unwrap()
}

#[tokio::test]
async fn a_url_of_neither_sqlite_nor_postgres_is_refused_unquoted() {
    for url in ["mysql://root:hunter2@localhost/x", "", "sqlite::memory:", "sqlite:x.db?mode=memory"] {
        let error = refusal(url).await;
        assert!(matches!(error, RegistryError::Url(_)), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let error = refusal("postgres://user:hunter2@local host:x/db").await;
    assert_eq!(error, RegistryError::Url("is not understood"));
    let error = refusal("sqlite:gateway.db?sync=off").await;
    assert_eq!(error, RegistryError::Url("is not understood"));
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable() {
    let error = refusal("postgres://user:hunter2@127.0.0.1:1/db").await;
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
    let error = refusal("sqlite:/proc/nowhere/gateway.db").await;
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_on_the_server_is_unavailable() {
    let database = PostgresDatabase::create();
    let error = refusal(&database.url().replace("/test_", "/no_test_")).await;
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_sqlite_file_is_private_durable_and_survives_reopening() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::sqlite().await.with_project().await;
    for pool in [&fixture.store.reader, &fixture.store.writer] {
        let pragma = async |query: &'static str| sqlx::query(query).fetch_one(pool).await.unwrap();
        assert_eq!(pragma("PRAGMA journal_mode").await.get::<String, _>(0), "wal");
        assert_eq!(pragma("PRAGMA synchronous").await.get::<i64, _>(0), 2);
        assert_eq!(pragma("PRAGMA foreign_keys").await.get::<i64, _>(0), 1);
        assert_eq!(pragma("PRAGMA busy_timeout").await.get::<i64, _>(0), 5000);
    }
    let path = fixture.url.expose_secret().strip_prefix("sqlite:").unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);

    let again = open(&fixture.url).await.unwrap();
    again.ping().await.unwrap();
    assert!(again.find_project("shop").await.unwrap().is_some());
}

#[tokio::test]
async fn a_sqlite_path_may_be_written_in_every_usual_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a folder/ga%teway.db").display().to_string();
    let encoded = path.replace('%', "%25");
    for url in
        [format!("sqlite:{encoded}"), format!("sqlite://{encoded}"), format!("sqlite:{encoded}?mode=rwc")]
    {
        open(&url.into()).await.unwrap().migrate().await.unwrap();
    }
    assert!(std::fs::metadata(path).unwrap().len() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_gateways_start_at_once_on_a_new_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = SecretString::from(format!("sqlite:{}/gateway.db", folder.path().display()));
    start_ten(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_gateways_start_at_once_on_a_new_postgres_database() {
    let database = PostgresDatabase::create();
    start_ten(database.url().into()).await;
}

async fn start_ten(url: SecretString) {
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url).await?.migrate().await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    assert_eq!(open(&url).await.unwrap().pending_migrations().await.unwrap(), 0);
}

/// The variable that tells [`writes_until_killed`], in the process that the next test starts, where to write.
const CHILD_URL: &str = "TEST_REGISTRY_CHILD_URL";

#[tokio::test]
#[ignore = "the other process of acknowledged_writes_survive_kill_9"]
async fn writes_until_killed() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let registry = open(&url.into()).await.unwrap();
    for number in 0.. {
        registry.put_member("shop", &format!("user{number}"), Role::Viewer, &record()).await.unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() {
    use std::io::{BufRead, BufReader};
    let fixture = Fixture::sqlite().await.with_project().await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "registry::tests::opening::writes_until_killed", "--ignored", "--nocapture"])
        .env(CHILD_URL, fixture.url.expose_secret())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        acknowledged += usize::from(line.unwrap().starts_with("acknowledged "));
        if acknowledged == 100 {
            // SIGKILL; the output from before it is read to the end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= 100, "{acknowledged}");
    let members = fixture.registry().list_members("shop").await.unwrap();
    // The owner, and perhaps one more member that was written but not acknowledged.
    assert!(members.len() > acknowledged, "{} of {acknowledged}", members.len());
}
