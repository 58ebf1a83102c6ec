//! Compiled code is kept between starts, and used only when it is exactly what was kept.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use studio_gateway_tests::{Gateway, GatewayOptions, Guest, Plugin, Plugins, gateway::random_hex};
use tempfile::TempDir;

/// Relative to the gateway's own folder, which is no other test's.
const COMPILED: &str = "data/compiled";

const ALTERED: &str = "compiled code is not as this gateway left it";

/// A gateway with a small driver, and the folder with its component.
async fn start() -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = guest(folder.path(), "small");
    (Gateway::start(keeping([plugin])).await, folder)
}

fn keeping(plugins: impl IntoIterator<Item = Plugin>) -> GatewayOptions {
    GatewayOptions::default().plugins(Plugins::new(plugins)).set("GATEWAY_COMPILED_FOLDER", COMPILED)
}

fn guest(folder: &Path, database_type: &str) -> Plugin {
    let file = Guest::new(database_type).write(folder.join(format!("{database_type}.wasm")));
    Plugin::component_file(database_type, file)
}

fn compiled_files(gateway: &Gateway) -> Vec<PathBuf> {
    let entries = fs::read_dir(gateway.file(COMPILED)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn only_file(gateway: &Gateway) -> PathBuf {
    let files = compiled_files(gateway);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Starts the gateway again, and gives back what it logged meanwhile.
async fn start_again(gateway: &mut Gateway) -> String {
    let before = gateway.log().len();
    gateway.start_again().await;
    let items = gateway.platform_admin().get("/api/platform/plugins").await.expect(200).items();
    assert!(items.iter().all(|item| item["loaded"] == true), "{items:?}");
    gateway.whole_log().await[before..].to_owned()
}

/// A file that is replaced has another inode, or at least another time.
fn identity(file: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(file).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

#[tokio::test]
async fn second_start_takes_the_code_from_the_first() {
    let (mut gateway, _folder) = start().await;
    gateway.stop().await;
    let file = only_file(&gateway);
    let before = identity(&file);
    assert_eq!(fs::metadata(gateway.file(COMPILED)).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "nobody else may read it");
    let log = start_again(&mut gateway).await;
    assert!(!log.contains("WARN"), "{log}");
    assert_eq!(identity(&only_file(&gateway)), before);
}

#[tokio::test]
async fn code_that_was_altered_is_noticed_and_made_anew() {
    let (mut gateway, _folder) = start().await;
    gateway.stop().await;
    let file = only_file(&gateway);
    let good = fs::read(&file).unwrap();
    let flipped = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let garbage: Vec<u8> = (0..good.len()).map(|number| (number * 7) as u8).collect();
    for (what, bytes) in [
        ("first bit", flipped(0)),
        ("tag", flipped(20)),
        ("header", flipped(40)),
        ("middle", flipped(good.len() / 2)),
        ("last bit", flipped(good.len() - 1)),
        ("half", good[..good.len() / 2].to_vec()),
        ("one byte less", good[..good.len() - 1].to_vec()),
        ("one byte more", [good.as_slice(), b"x"].concat()),
        ("ten bytes", good[..10].to_vec()),
        ("nothing", Vec::new()),
        ("garbage", garbage),
    ] {
        fs::write(&file, &bytes).unwrap();
        let log = start_again(&mut gateway).await;
        let line = log.lines().find(|line| line.contains(ALTERED));
        assert!(line.is_some_and(|line| line.contains("WARN")), "{what}: {log}");
        gateway.stop().await;
        assert_ne!(fs::read(&file).unwrap(), bytes, "{what}: not replaced");
        let log = start_again(&mut gateway).await;
        assert!(!log.contains(ALTERED), "{what}: {log}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn code_of_another_component_or_key_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = [guest(folder.path(), "one"), guest(folder.path(), "two")];
    let mut gateway = Gateway::start(keeping(plugins)).await;
    gateway.stop().await;
    let files = compiled_files(&gateway);
    assert_eq!(files.len(), 2);
    fs::copy(&files[0], &files[1]).unwrap();
    let log = start_again(&mut gateway).await;
    assert_eq!(log.matches(ALTERED).count(), 1, "{log}");
    gateway.stop().await;

    gateway.set("DATABASE_ENCRYPTION_KEY", &random_hex());
    let log = start_again(&mut gateway).await;
    assert_eq!(log.matches(ALTERED).count(), 2, "{log}");
    gateway.stop().await;
    let log = start_again(&mut gateway).await;
    assert!(!log.contains(ALTERED), "{log}");
}

#[tokio::test]
async fn folder_that_can_not_be_written_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder should be stops even a superuser.
    let place = folder.path().join("file");
    fs::write(&place, "").unwrap();
    let options = GatewayOptions::default().plugins(Plugins::new([guest(folder.path(), "small")]));
    let gateway = Gateway::start(options.set("GATEWAY_COMPILED_FOLDER", place.to_str().unwrap())).await;
    let items = gateway.platform_admin().get("/api/platform/plugins").await.expect(200).items();
    assert_eq!(items[0]["loaded"], true);
    let log = gateway.whole_log().await;
    let line = log.lines().find(|line| line.contains("compiled code can't be kept"));
    assert!(line.is_some_and(|line| line.contains("WARN")), "{log}");
}
