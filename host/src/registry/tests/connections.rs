//! Tests of connections.

use std::time::Duration;

use super::*;

on_both_databases!(
    a_connection_is_stored_whole,
    a_taken_identifier_is_a_duplicate_in_its_project_only,
    connections_are_listed_in_order_by_type_and_page,
    a_connection_is_found_only_in_its_project_and_type,
    primacy_goes_to_the_first_moves_and_is_inherited,
    changes_keep_absent_fields_and_only_settings_bump_versions,
    status_is_noted_only_for_the_same_settings_while_switched_on,
    twenty_new_primaries_at_once_leave_exactly_one,
    many_writers_at_once_all_succeed,
    row_that_leads_nowhere_is_corrupt_and_a_string_wins,
);

async fn create(fixture: &Fixture, database_type: &str, identifier: &str) -> Connection {
    // Creation times have milliseconds, and the order is by time.
    tokio::time::sleep(Duration::from_millis(2)).await;
    fixture
        .registry()
        .create_connection("shop", new_connection(database_type, identifier), &record())
        .await
        .unwrap()
}

async fn primary_of(fixture: &Fixture, database_type: &str) -> Option<String> {
    let found = fixture
        .registry()
        .find_connection("shop", database_type, &ConnectionSelector::Primary)
        .await
        .unwrap();
    found.map(|connection| connection.identifier)
}

async fn a_connection_is_stored_whole(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let keyring = keyring(1, &[]);
    let id = ConnectionId::random();
    let place = id.to_string();
    let seal = |field, text| keyring.seal(&SealedFor { record: &place, field }, text);
    let serde_json::Value::Object(options) =
        json!({"db": 3, "tls": true, "name": "größer 'x'", "list": [1, null]})
    else {
        unreachable!()
    };
    let parts = EndpointParts {
        database_name: Some("0".to_owned()),
        username: Some("default".to_owned()),
        password: Some(seal("password", "hunter2")),
        ..local()
    };
    let settings = StoredSettings { options, ..in_parts(parts) };
    let new = NewConnection {
        id,
        settings: settings.clone(),
        status: ConnectionStatus::Inactive,
        ..new_connection("redis", "cache")
    };
    let created = registry.create_connection("shop", new, &record()).await.unwrap();
    assert_recent(&created.created_at);
    assert_eq!(created.created_at, created.updated_at);
    let expected = Connection {
        id,
        project_id: registry.find_project("shop").await.unwrap().unwrap().id,
        database_type: "redis".to_owned(),
        identifier: "cache".to_owned(),
        settings,
        is_primary: true,
        is_implicit: false,
        status: ConnectionStatus::Inactive,
        settings_version: 1,
        created_at: created.created_at.clone(),
        updated_at: created.updated_at.clone(),
    };
    assert_eq!(created, expected);
    let password = created.settings.endpoint.parts().unwrap().password.as_ref().unwrap();
    let opened = keyring.open(&SealedFor { record: &place, field: "password" }, password).unwrap();
    assert_eq!(opened.expose_secret(), "hunter2");
    let found = registry.find_connection("shop", "redis", &ConnectionSelector::Id(id)).await.unwrap();
    assert_eq!(found, Some(created));

    let bare = in_parts(EndpointParts { port: None, ..local() });
    let string = seal("connection_string", "redis://x");
    let string = StoredSettings { endpoint: StoredEndpoint::ConnectionString(string), ..bare.clone() };
    for (identifier, settings) in [("bare", bare), ("string", string)] {
        let new = NewConnection { settings: settings.clone(), ..new_connection("redis", identifier) };
        let created = registry.create_connection("shop", new, &record()).await.unwrap();
        assert_eq!(created.settings, settings);
        let selector = ConnectionSelector::Id(created.id);
        assert_eq!(registry.find_connection("shop", "redis", &selector).await.unwrap(), Some(created));
    }
}

async fn a_taken_identifier_is_a_duplicate_in_its_project_only(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let cache = create(&fixture, "redis", "cache").await;
    let error =
        registry.create_connection("shop", new_connection("mongodb", "cache"), &record()).await.unwrap_err();
    assert_eq!(error, duplicate("identifier"));
    let same_id = NewConnection { id: cache.id, ..new_connection("redis", "other") };
    assert_eq!(registry.create_connection("shop", same_id, &record()).await.unwrap_err(), duplicate("id"));
    let docs = create(&fixture, "mongodb", "docs").await;
    let rename = ConnectionChanges { identifier: Some("cache".to_owned()), ..Default::default() };
    let error = update(registry, "mongodb", docs.id, rename).await.unwrap_err();
    assert_eq!(error, duplicate("identifier"));

    let organization = registry.find_organization("acme").await.unwrap().unwrap();
    let other = NewProject { reference: "other".to_owned(), ..shop(&organization.id) };
    registry.create_project(other, &record()).await.unwrap();
    registry.create_connection("other", new_connection("redis", "cache"), &record()).await.unwrap();
    let error =
        registry.create_connection("nope", new_connection("redis", "cache"), &record()).await.unwrap_err();
    assert_eq!(error, RegistryError::NotFound { what: "project" });
}

async fn connections_are_listed_in_order_by_type_and_page(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    for (database_type, identifier) in [("redis", "z"), ("mongodb", "y"), ("redis", "x"), ("redis", "w")] {
        create(&fixture, database_type, identifier).await;
    }
    let list = async |reference: &str, database_type, limit, offset| {
        let page =
            fixture.registry().list_connections(reference, database_type, limit, offset).await.unwrap();
        let identifiers: Vec<_> = page.items.into_iter().map(|connection| connection.identifier).collect();
        (identifiers.join(""), page.total)
    };
    assert_eq!(list("shop", None, 100, 0).await, ("zyxw".to_owned(), 4));
    assert_eq!(list("shop", Some("redis"), 100, 0).await, ("zxw".to_owned(), 3));
    assert_eq!(list("shop", Some("redis"), 1, 1).await, ("x".to_owned(), 3));
    assert_eq!(list("shop", None, 10, 9).await, (String::new(), 4));
    assert_eq!(list("shop", Some("mysql"), 10, 0).await, (String::new(), 0));
    assert_eq!(list("nope", None, 10, 0).await, (String::new(), 0));
}

async fn a_connection_is_found_only_in_its_project_and_type(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let organization = registry.find_organization("acme").await.unwrap().unwrap();
    let other = NewProject { reference: "other".to_owned(), ..shop(&organization.id) };
    registry.create_project(other, &record()).await.unwrap();
    let cache = create(&fixture, "redis", "cache").await;
    for selector in [
        ConnectionSelector::Primary,
        ConnectionSelector::Id(cache.id),
        ConnectionSelector::Identifier("cache".to_owned()),
    ] {
        let find = async |reference, database_type| {
            registry.find_connection(reference, database_type, &selector).await.unwrap()
        };
        assert_eq!(find("shop", "redis").await, Some(cache.clone()), "{selector:?}");
        assert_eq!(find("shop", "mongodb").await, None, "{selector:?}");
        assert_eq!(find("other", "redis").await, None, "{selector:?}");
        assert_eq!(find("nope", "redis").await, None, "{selector:?}");
    }
    for (reference, database_type, id) in [
        ("other", "redis", cache.id),
        ("shop", "mongodb", cache.id),
        ("shop", "redis", ConnectionId::random()),
    ] {
        let settings = in_parts(EndpointParts { host: "::1".to_owned(), ..local() });
        let changes = ConnectionChanges { settings: Some(settings), ..Default::default() };
        let missing = RegistryError::NotFound { what: "connection" };
        let before = Connection { id, database_type: database_type.to_owned(), ..cache.clone() };
        let error = registry.update_connection(reference, &before, changes, &record()).await.unwrap_err();
        assert_eq!(error, missing);
        let error = registry.delete_connection(reference, database_type, id, &record()).await.unwrap_err();
        assert_eq!(error, missing);
    }
    let error = registry.delete_connection("nope", "redis", cache.id, &record()).await.unwrap_err();
    assert_eq!(error, RegistryError::NotFound { what: "project" });
    let absent = ConnectionSelector::Identifier("cach".to_owned());
    assert_eq!(registry.find_connection("shop", "redis", &absent).await.unwrap(), None);
}

async fn primacy_goes_to_the_first_moves_and_is_inherited(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let first = create(&fixture, "redis", "first").await;
    assert!(first.is_primary);
    let second = create(&fixture, "redis", "second").await;
    assert!(!second.is_primary);
    assert!(create(&fixture, "mongodb", "docs").await.is_primary);

    let third = NewConnection { is_primary: true, ..new_connection("redis", "third") };
    tokio::time::sleep(Duration::from_millis(2)).await;
    let third = registry.create_connection("shop", third, &record()).await.unwrap();
    assert!(third.is_primary);
    assert_eq!(primary_of(&fixture, "redis").await.unwrap(), "third");
    assert_eq!(primary_of(&fixture, "mongodb").await.unwrap(), "docs");

    let set = async |id, is_primary| {
        let changes = ConnectionChanges { is_primary: Some(is_primary), ..Default::default() };
        update(registry, "redis", id, changes).await.unwrap()
    };
    let updated = set(second.id, true).await;
    assert!(updated.is_primary && updated.settings_version == 1);
    assert_eq!(primary_of(&fixture, "redis").await.unwrap(), "second");
    // Primacy that is given up goes to the oldest other one; demoting a connection that is not primary changes nothing.
    assert!(!set(second.id, false).await.is_primary);
    assert!(!set(third.id, false).await.is_primary);
    assert_eq!(primary_of(&fixture, "redis").await.unwrap(), "first");

    set(third.id, true).await;
    registry.delete_connection("shop", "redis", third.id, &record()).await.unwrap();
    assert_eq!(primary_of(&fixture, "redis").await.unwrap(), "first");
    registry.delete_connection("shop", "redis", second.id, &record()).await.unwrap();
    assert_eq!(primary_of(&fixture, "redis").await.unwrap(), "first");
    // The only connection stays primary.
    assert!(set(first.id, false).await.is_primary);
    registry.delete_connection("shop", "redis", first.id, &record()).await.unwrap();
    assert_eq!(primary_of(&fixture, "redis").await, None);
    assert!(create(&fixture, "redis", "again").await.is_primary);
}

async fn changes_keep_absent_fields_and_only_settings_bump_versions(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let before = create(&fixture, "redis", "cache").await;
    let update = async |changes| update(registry, "redis", before.id, changes).await.unwrap();

    tokio::time::sleep(Duration::from_millis(2)).await;
    let after =
        update(ConnectionChanges { status: Some(ConnectionStatus::Error), ..Default::default() }).await;
    assert_eq!((after.status, after.settings_version), (ConnectionStatus::Error, 1));
    assert!(after.updated_at > before.updated_at && after.created_at == before.created_at);
    let set = |settings| ConnectionChanges { settings: Some(settings), ..Default::default() };
    assert_eq!(update(set(in_parts(local()))).await.settings_version, 1);

    let password = keyring(1, &[]).seal(&SealedFor { record: "x", field: "password" }, "hunter2");
    let options: serde_json::Map<_, _> = [("db".to_owned(), json!(2))].into_iter().collect();
    let parts = EndpointParts {
        host: "::1".to_owned(),
        port: None,
        database_name: Some("0".to_owned()),
        username: Some("default".to_owned()),
        password: Some(password.clone()),
    };
    let settings = StoredSettings { options, ..in_parts(parts.clone()) };
    let identifier = Some("renamed".to_owned());
    let after = update(ConnectionChanges { identifier, ..set(settings.clone()) }).await;
    let expected = Connection {
        identifier: "renamed".to_owned(),
        settings,
        status: ConnectionStatus::Error,
        settings_version: 2,
        updated_at: after.updated_at.clone(),
        ..before.clone()
    };
    assert_eq!(after, expected);
    let bare = in_parts(EndpointParts { password: None, ..parts });
    let after = update(set(bare.clone())).await;
    assert_eq!((after.settings, after.settings_version), (bare.clone(), 3));
    let string = StoredSettings { endpoint: StoredEndpoint::ConnectionString(password), ..bare };
    let after = update(set(string.clone())).await;
    assert_eq!((after.settings, after.settings_version), (string, 4));
    // The row keeps nothing of the parts.
    fixture.execute("UPDATE database_connections SET connection_string = NULL").await;
    let columns = "SELECT COALESCE(CAST(port AS TEXT), database_name, username, password, host, 'none')
                   FROM database_connections";
    assert_eq!(fixture.read(columns).await, "none");
}

async fn status_is_noted_only_for_the_same_settings_while_switched_on(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let connection = create(&fixture, "redis", "cache").await;
    let note =
        async |version, status| registry.set_connection_status(connection.id, version, status).await.unwrap();
    assert!(note(1, ConnectionStatus::Error).await);
    assert!(!note(1, ConnectionStatus::Error).await);
    assert!(!note(2, ConnectionStatus::Active).await);
    assert!(note(1, ConnectionStatus::Active).await);
    let stored =
        registry.find_connection("shop", "redis", &ConnectionSelector::Primary).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.settings_version), (ConnectionStatus::Active, 1));
    let off = ConnectionChanges { status: Some(ConnectionStatus::Inactive), ..Default::default() };
    update(registry, "redis", connection.id, off).await.unwrap();
    assert!(!note(1, ConnectionStatus::Active).await);
    let absent = registry.set_connection_status(ConnectionId::random(), 1, ConnectionStatus::Error).await;
    assert!(!absent.unwrap());
}

async fn twenty_new_primaries_at_once_leave_exactly_one(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    // Two gateways on one database.
    let registries = [open(&fixture.url).await.unwrap(), open(&fixture.url).await.unwrap()];
    let creations: Vec<_> = (0..20)
        .map(|number| {
            let registry = registries[number % 2].clone();
            let new = new_connection("redis", &format!("c{number}"));
            tokio::spawn(async move {
                registry.create_connection("shop", NewConnection { is_primary: true, ..new }, &record()).await
            })
        })
        .collect();
    for creation in creations {
        assert!(creation.await.unwrap().unwrap().is_primary);
    }
    let page = fixture.registry().list_connections("shop", None, 100, 0).await.unwrap();
    assert_eq!(page.total, 20);
    assert_eq!(page.items.iter().filter(|connection| connection.is_primary).count(), 1);
}

async fn many_writers_at_once_all_succeed(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registries = [open(&fixture.url).await.unwrap(), open(&fixture.url).await.unwrap()];
    let writers: Vec<_> = (0..60)
        .map(|number| {
            let registry = registries[number % 2].clone();
            tokio::spawn(async move {
                let connection = new_connection("redis", &format!("c{number}"));
                let created = registry.create_connection("shop", connection, &record()).await?;
                registry.put_member("shop", &format!("user{number}"), Role::Viewer, &record()).await?;
                let settings = in_parts(EndpointParts { port: Some(7000), ..local() });
                let changes = ConnectionChanges { settings: Some(settings), ..Default::default() };
                update(&*registry, "redis", created.id, changes).await?;
                registry.find_access("shop", "olga").await?;
                registry.delete_connection("shop", "redis", created.id, &record()).await
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(fixture.registry().list_connections("shop", None, 1, 0).await.unwrap().total, 0);
    assert_eq!(fixture.registry().list_members("shop").await.unwrap().len(), 61);
}

async fn row_that_leads_nowhere_is_corrupt_and_a_string_wins(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    create(&fixture, "redis", "cache").await;
    let find =
        async || fixture.registry().find_connection("shop", "redis", &ConnectionSelector::Primary).await;
    let text = "v1.0123abcd.0123456789012345678901234567890123456789";
    fixture.execute("UPDATE database_connections SET connection_string = 'v1.0123abcd.0123456789012345678901234567890123456789'").await;
    let found = find().await.unwrap().unwrap();
    assert_eq!(found.settings.endpoint, StoredEndpoint::ConnectionString(text.parse().unwrap()));
    fixture.execute("UPDATE database_connections SET connection_string = NULL, host = NULL").await;
    assert_eq!(find().await.unwrap_err(), RegistryError::Corrupt { what: "host".to_owned() });
}
