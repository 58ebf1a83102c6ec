//! Tests of sealed values and key rotation.

use super::*;
use crate::secrets::Sealed;

on_both_databases!(
    every_value_is_sealed_anew_and_plain_ones_are_left,
    unopenable_values_are_reported_and_do_not_stop_the_rest,
    resealing_beside_a_running_gateway_loses_no_change,
);

fn option_field<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    path.into_iter().fold("options".to_owned(), |field, key| option_below(&field, key))
}

#[test]
fn option_fields_are_named_by_their_path_without_ambiguity() {
    assert_eq!(option_field(["sentinel", "password"]), "options.sentinel.password");
    assert_eq!(option_field(["a.b"]), r"options.a\.b");
    assert_eq!(option_field([r"a\", "b"]), r"options.a\\.b");
    let serde_json::Value::Object(mut options) =
        json!({"a": "x", "n": 1, "list": [{"token": "y"}, null], "a.b": "z"})
    else {
        unreachable!()
    };
    let mut seen = Vec::new();
    rewrite_option_strings(&mut options, &mut |field, value| {
        seen.push(format!("{field}={value}"));
        Ok::<_, RegistryError>((value == "y").then(|| "rewritten".to_owned()))
    })
    .unwrap();
    seen.sort();
    assert_eq!(seen, [r"options.a=x", r"options.a\.b=z", r"options.list.0.token=y"]);
    assert_eq!(options["list"], json!([{"token": "rewritten"}, null]));
}

/// Makes a connection with a password and two secret options.
fn sealed_connection(keyring: &Keyring, identifier: &str) -> NewConnection {
    sealed(keyring, identifier, |seal| {
        StoredEndpoint::Parts(EndpointParts { password: Some(seal("password", "p")), ..local() })
    })
}

/// Makes a connection with a connection string and two secret options.
fn sealed_string(keyring: &Keyring, identifier: &str) -> NewConnection {
    sealed(keyring, identifier, |seal| StoredEndpoint::ConnectionString(seal("connection_string", "c")))
}

fn sealed(
    keyring: &Keyring,
    identifier: &str,
    endpoint: impl FnOnce(&dyn Fn(&str, &str) -> Sealed) -> StoredEndpoint,
) -> NewConnection {
    let new = new_connection("redis", identifier);
    let record = new.id.to_string();
    let seal = |field: &str, text: &str| keyring.seal(&SealedFor { record: &record, field }, text);
    let options = json!({
        "tls": true,
        "name": "not secret",
        "sentinel": {"password": seal(&option_field(["sentinel", "password"]), "s").as_str()},
        "nodes": [{"token": seal(&option_field(["nodes", "0", "token"]), "t").as_str()}],
    });
    let settings =
        StoredSettings { endpoint: endpoint(&seal), options: options.as_object().unwrap().clone() };
    NewConnection { settings, ..new }
}

/// Opens every secret of a connection.
fn opened(keyring: &Keyring, connection: &Connection) -> String {
    let record = connection.id.to_string();
    let open = |field: &str, sealed: &Sealed| {
        keyring.open(&SealedFor { record: &record, field }, sealed).unwrap().expose_secret().to_owned()
    };
    let mut all = match &connection.settings.endpoint {
        StoredEndpoint::Parts(parts) => open("password", parts.password.as_ref().unwrap()),
        StoredEndpoint::ConnectionString(text) => open("connection_string", text),
    };
    rewrite_option_strings(&mut connection.settings.options.clone(), &mut |field, value| {
        if let Ok(sealed) = value.parse::<Sealed>() {
            all += &open(field, &sealed);
        }
        Ok::<_, RegistryError>(None)
    })
    .unwrap();
    all
}

async fn every_value_is_sealed_anew_and_plain_ones_are_left(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let old = keyring(1, &[]);
    let new = keyring(2, &[1]);
    assert!(registry.list_key_ids().await.unwrap().is_empty());
    let organization = registry.find_organization("acme").await.unwrap().unwrap();
    for reference in ["a", "b", "c"] {
        let project = NewProject {
            reference: reference.to_owned(),
            database: Some(ProjectDatabase {
                host: "db.test".to_owned(),
                port: 5432,
                name: "app".to_owned(),
                user: "app".to_owned(),
            }),
            database_password: Some(old.seal(&database_password_place(reference), "d")),
            ..shop(&organization.id)
        };
        registry.create_project(project, &record()).await.unwrap();
        let secret = old.seal(&jwt_secret_place(reference), "j");
        registry.set_project_jwt_secret(reference, &secret, &record()).await.unwrap();
    }
    fixture.execute("UPDATE projects SET database_password = 'plain' WHERE ref = 'b'").await;
    for number in 0..5 {
        let connection = sealed_connection(&old, &format!("c{number}"));
        registry.create_connection("shop", connection, &record()).await.unwrap();
        let connection = sealed_string(&old, &format!("s{number}"));
        registry.create_connection("shop", connection, &record()).await.unwrap();
    }
    registry.create_connection("shop", sealed_connection(&new, "current"), &record()).await.unwrap();
    registry.create_connection("shop", new_connection("redis", "bare"), &record()).await.unwrap();
    let mut both = [old.current_key_id(), new.current_key_id()];
    both.sort_unstable();
    assert_eq!(registry.list_key_ids().await.unwrap(), both);

    let done = registry.reseal(&new, 2).await.unwrap();
    assert_eq!(done, Resealed { resealed: 2 + 3 + 5 * 6, unreadable: Vec::new() });
    assert_eq!(registry.reseal(&new, 2).await.unwrap(), Resealed::default());
    assert_eq!(registry.list_key_ids().await.unwrap(), [new.current_key_id()]);

    let only_new = keyring(2, &[]);
    for connection in registry.list_connections("shop", None, 100, 0).await.unwrap().items {
        if connection.identifier == "bare" {
            continue;
        }
        let first = if connection.identifier.starts_with('s') { "c" } else { "p" };
        let opened = opened(&only_new, &connection);
        assert!(opened.len() == "pst".len() && opened.starts_with(first), "{opened}");
        assert_eq!(connection.settings_version, 1);
        assert_eq!(connection.settings.options["name"], "not secret");
    }
    let jwt_secret = registry.project_jwt_secret("c").await.unwrap().unwrap();
    assert_eq!(jwt_secret.open(&only_new, &jwt_secret_place("c")).unwrap().expose_secret(), "j");
    let password = registry.find_project_database("b").await.unwrap().unwrap().password.unwrap();
    assert!(matches!(password, StoredSecret::Plain(_)));
}

async fn unopenable_values_are_reported_and_do_not_stop_the_rest(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let (old, lost) = (keyring(1, &[]), keyring(3, &[]));
    let mut lost_ids = Vec::new();
    for lost_one in [sealed_connection(&lost, "lost"), sealed_string(&lost, "lost-string")] {
        lost_ids.push(lost_one.id.to_string());
        registry.create_connection("shop", lost_one, &record()).await.unwrap();
    }
    // The password was copied from another row.
    let mut copied = sealed_connection(&old, "copied");
    copied.settings.endpoint = sealed_connection(&old, "x").settings.endpoint;
    let copied_id = copied.id.to_string();
    registry.create_connection("shop", copied, &record()).await.unwrap();
    for number in 0..3 {
        let connection = sealed_connection(&old, &format!("c{number}"));
        registry.create_connection("shop", connection, &record()).await.unwrap();
    }
    let done = registry.reseal(&keyring(2, &[1]), 1).await.unwrap();
    assert_eq!(done.resealed, 2 + 3 * 3);
    assert_eq!(done.unreadable.len(), 2 * 3 + 1);
    for lost_id in lost_ids {
        assert_eq!(done.unreadable.iter().filter(|line| line.starts_with(&format!("{lost_id} "))).count(), 3);
    }
    assert!(
        done.unreadable
            .iter()
            .any(|line| line.starts_with(&format!("{copied_id} password: a sealed value was")))
    );
    assert!(registry.list_key_ids().await.unwrap().contains(&lost.current_key_id().to_owned()));
}

async fn resealing_beside_a_running_gateway_loses_no_change(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let (old, new) = (keyring(1, &[]), keyring(2, &[1]));
    let mut ids = Vec::new();
    for number in 0..10 {
        let connection = sealed_connection(&old, &format!("c{number}"));
        ids.push(connection.id);
        registry.create_connection("shop", connection, &record()).await.unwrap();
    }
    let gateway = async {
        for id in &ids {
            let place = id.to_string();
            let password = old.seal(&SealedFor { record: &place, field: "password" }, "changed");
            let endpoint = StoredEndpoint::Parts(EndpointParts { password: Some(password), ..local() });
            loop {
                let selector = ConnectionSelector::Id(*id);
                let before = registry.find_connection("shop", "redis", &selector).await.unwrap().unwrap();
                let settings = StoredSettings { endpoint: endpoint.clone(), ..before.settings.clone() };
                let changes = ConnectionChanges { settings: Some(settings), ..Default::default() };
                match registry.update_connection("shop", &before, changes, &record()).await {
                    Ok(_) => break,
                    // A row that was sealed again in between differs from the one that was read.
                    Err(error) => assert_eq!(error, RegistryError::Changed),
                }
            }
        }
    };
    let rekey = async { while registry.reseal(&new, 3).await.unwrap().resealed > 0 {} };
    tokio::join!(gateway, rekey);
    registry.reseal(&new, 100).await.unwrap();
    assert_eq!(registry.list_key_ids().await.unwrap(), [new.current_key_id()]);
    for connection in registry.list_connections("shop", None, 100, 0).await.unwrap().items {
        assert!(opened(&new, &connection).starts_with("changed"));
    }
}
