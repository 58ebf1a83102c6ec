use super::*;
use proptest::prelude::*;

fn database(name: &str) -> Result<DatabaseName, DriverError> {
    DatabaseName::new(name, "db")
}

fn collection(name: &str) -> Result<CollectionName, DriverError> {
    CollectionName::new(name, "name")
}

#[test]
fn databases_have_the_names_that_every_platform_takes() {
    let longest = "d".repeat(63);
    for good in ["d", "my-db_1", "größe", "日本", "%2F", "a,b;c", "-", longest.as_str()] {
        assert_eq!(database(good).unwrap().open_to(Access::Read).unwrap(), good);
    }
    let too_long = ["d".repeat(64), "ü".repeat(32)];
    let bad =
        ["", "a/b", "a\\b", "a.b", "a b", "\"", "$cmd", "$external", "*", "<", ">", "a:b", "|", "?", "a\0"];
    for bad in bad.into_iter().chain(too_long.iter().map(String::as_str)) {
        let error = database(bad).unwrap_err();
        assert_eq!(error.code, ErrorCode::ValidationError, "{bad:?}");
        assert_eq!(error.details["field"], "db");
    }
}

#[test]
fn the_servers_own_databases_are_for_admins_in_any_letter_case() {
    for name in ["admin", "local", "config", "Admin", "LOCAL", "conFig"] {
        let closed = database(name).unwrap();
        for granted in [Access::Read, Access::Write] {
            let error = closed.open_to(granted).unwrap_err();
            assert_eq!(error.code, ErrorCode::Forbidden, "{name}");
            assert_eq!(error.details["database"], name);
            assert!(DatabaseName::is_hidden_from(name, granted));
        }
        assert_eq!(closed.open_to(Access::Admin).unwrap(), name);
        assert!(!DatabaseName::is_hidden_from(name, Access::Admin));
    }
    for name in ["administration", "admin2", "locals", "cfg", "test"] {
        assert!(!DatabaseName::is_hidden_from(name, Access::Read), "{name}");
    }
}

#[test]
fn collections_have_the_names_that_mongodb_takes() {
    let longest = "c".repeat(253);
    let good =
        ["c", "a.b", "a..b", "a.", "with space", "🎉", "a%2Fb", "a/b", "\"", "systems", longest.as_str()];
    for good in good {
        assert_eq!(collection(good).unwrap().open_for(Use::Write).unwrap(), good);
    }
    let too_long = "c".repeat(254);
    for bad in ["", ".a", ".", "$cmd", "oplog.$main", "a\0b", too_long.as_str()] {
        let error = collection(bad).unwrap_err();
        assert_eq!(error.code, ErrorCode::ValidationError, "{bad:?}");
        assert_eq!(error.details["field"], "name");
    }
}

#[test]
fn the_servers_own_collections_can_be_read_but_not_written() {
    let database = database("shop").unwrap();
    for (name, droppable) in [
        ("system.views", false),
        ("system.users", false),
        ("system.buckets.weather", false),
        ("a.system.b", false),
        ("system.js", true),
        ("system.profile", true),
    ] {
        let name = collection(name).unwrap();
        let open = |purpose| name.open_in(&database, purpose, Access::Admin);
        assert!(open(Use::Read).is_ok());
        assert_eq!(open(Use::Write).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(open(Use::Drop).is_ok(), droppable, "{name:?}");
    }
}

#[test]
fn both_names_together_have_at_most_255_bytes() {
    for (database_bytes, collection_bytes, fits) in
        [(1, 253, true), (2, 253, false), (63, 191, true), (63, 192, false)]
    {
        let database = database(&"d".repeat(database_bytes)).unwrap();
        let collection = collection(&"c".repeat(collection_bytes)).unwrap();
        match collection.open_in(&database, Use::Read, Access::Read) {
            Ok(namespace) => assert!(fits && namespace.collection.len() == collection_bytes),
            Err(error) => assert!(!fits && error.details["field"] == "coll"),
        }
    }
}

#[test]
fn a_collection_in_a_closed_database_is_closed() {
    let collection = collection("system.version").unwrap();
    let database = database("admin").unwrap();
    let open = |granted| collection.open_in(&database, Use::Read, granted);
    assert_eq!(open(Access::Write).unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(open(Access::Admin).unwrap(), Namespace { database: "admin", collection: "system.version" });
}

#[test]
fn names_are_read_and_described_as_strings() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Body {
        name: CollectionName,
    }
    let query = |name: &str| [("name".to_owned(), name.to_owned())];
    let read = studio_plugin_api::parameters::from_query::<Body>;
    assert_eq!(read(&query("a.b")).unwrap().name, collection("a.b").unwrap());
    let error = read(&query("a$b")).unwrap_err();
    assert_eq!(error.details["field"], "name");
    assert_eq!(error.message, "`name`: must not contain $ or NUL");
    let schema = serde_json::to_value(schemars::schema_for!(Body)).unwrap();
    assert_eq!(schema["properties"]["name"]["type"], "string");
    assert_eq!(schema["properties"]["name"]["maxLength"], 253);
}

proptest! {
    #[test]
    fn a_namespace_splits_into_the_names_that_made_it(first: String, second: String) {
        if let (Ok(database), Ok(collection)) = (database(&first), collection(&second)) {
            let Namespace { database, collection } =
                collection.open_in(&database, Use::Read, Access::Admin).unwrap();
            let whole = format!("{database}.{collection}");
            prop_assert_eq!(whole.split_once('.'), Some((first.as_str(), second.as_str())));
        }
    }
}
