//! Tests of organizations and projects.

use super::*;

on_both_databases!(
    an_organization_is_found_by_slug_and_by_id,
    the_id_wins_over_another_organizations_slug,
    a_taken_slug_or_ref_is_a_duplicate_and_leaves_nothing_behind,
    a_project_shows_its_database_but_not_the_password,
    a_project_needs_an_organization,
    deleting_a_project_deletes_all_that_is_its_own,
    a_jwt_secret_is_set_replaced_and_told_from_a_plain_one,
    audit_records_are_appended_whole,
    audit_records_of_any_number_are_appended_in_order,
);

async fn an_organization_is_found_by_slug_and_by_id(fixture: Fixture) {
    let registry = fixture.registry();
    let created = registry.create_organization(acme(), &record()).await.unwrap();
    assert_eq!((created.name.as_str(), created.slug.as_str()), ("Acme", "acme"));
    assert_eq!(created.billing_email.as_deref(), Some("bills@acme.test"));
    assert_recent(created.created_at.as_deref().unwrap());
    assert_recent(created.updated_at.as_deref().unwrap());
    created.id.parse::<uuid::Uuid>().unwrap();
    assert_eq!(registry.find_organization("acme").await.unwrap().as_ref(), Some(&created));
    assert_eq!(registry.find_organization(&created.id).await.unwrap().as_ref(), Some(&created));
    assert_eq!(registry.find_organization("other").await.unwrap(), None);
    assert_eq!(registry.list_organizations(&Visibility::All, 100, 0).await.unwrap().items, [created]);

    let other = NewOrganization { slug: "other".to_owned(), billing_email: None, ..acme() };
    assert_eq!(registry.create_organization(other, &record()).await.unwrap().billing_email, None);
}

async fn the_id_wins_over_another_organizations_slug(fixture: Fixture) {
    let registry = fixture.registry();
    let acme_id = registry.create_organization(acme(), &record()).await.unwrap().id;
    let thief = NewOrganization { slug: acme_id.clone(), owner: "mallory".to_owned(), ..acme() };
    registry.create_organization(thief, &record()).await.unwrap();
    assert_eq!(registry.find_organization(&acme_id).await.unwrap().unwrap().slug, "acme");
    assert_eq!(registry.organization_role(&acme_id, "mallory").await.unwrap(), None);
    assert_eq!(registry.organization_role(&acme_id, "olga").await.unwrap(), Some(Role::Owner));
}

async fn a_taken_slug_or_ref_is_a_duplicate_and_leaves_nothing_behind(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    assert_eq!(registry.create_organization(acme(), &record()).await.unwrap_err(), duplicate("slug"));
    let organization = registry.find_organization("acme").await.unwrap().unwrap();
    assert_eq!(
        registry.create_project(shop(&organization.id), &record()).await.unwrap_err(),
        duplicate("ref")
    );
    assert_eq!(registry.list_organizations(&Visibility::All, 100, 0).await.unwrap().items.len(), 1);
    assert_eq!(registry.list_projects(&Visibility::All, 100, 0).await.unwrap().items.len(), 1);
}

async fn a_project_shows_its_database_but_not_the_password(fixture: Fixture) {
    let registry = fixture.registry();
    let organization = registry.create_organization(acme(), &record()).await.unwrap();
    let keyring = keyring(1, &[]);
    let database = ProjectDatabase {
        host: "db.shop.test".to_owned(),
        port: 6543,
        name: "shop".to_owned(),
        user: "postgres".to_owned(),
    };
    let created = registry
        .create_project(
            NewProject {
                database: Some(database.clone()),
                database_password: Some(keyring.seal(&database_password_place("shop"), "hunter2")),
                ..shop(&organization.id)
            },
            &record(),
        )
        .await
        .unwrap();
    assert_eq!(created.organization_id.as_ref(), Some(&organization.id));
    assert_eq!(created.organization_slug.as_deref(), Some("acme"));
    assert_eq!(
        (created.name.as_str(), created.slug.as_str(), created.reference.as_str()),
        ("Shop", "shop", "shop")
    );
    assert_eq!(created.database, Some(database));
    assert_eq!(created.status, "ACTIVE_HEALTHY");
    assert_recent(created.created_at.as_deref().unwrap());
    assert_eq!(registry.find_project("shop").await.unwrap().as_ref(), Some(&created));
    assert_eq!(registry.find_project("nope").await.unwrap(), None);
    assert_eq!(serde_json::to_value(&created).unwrap()["ref"], "shop");

    let password = registry.find_project_database("shop").await.unwrap().unwrap().password.unwrap();
    assert!(matches!(password, StoredSecret::Sealed(_)));
    let opened = password.open(&keyring, &database_password_place("shop")).unwrap();
    assert_eq!(opened.expose_secret(), "hunter2");
    assert!(registry.find_project_database("nope").await.unwrap().is_none());

    let other = NewProject { reference: "other".to_owned(), ..shop(&organization.id) };
    assert_eq!(registry.create_project(other, &record()).await.unwrap().database, None);
    assert!(registry.find_project_database("other").await.unwrap().is_none());
}

async fn a_project_needs_an_organization(fixture: Fixture) {
    let registry = fixture.registry();
    registry.create_organization(acme(), &record()).await.unwrap();
    // A slug is not an id.
    for id in ["acme", "7", ""] {
        let error = registry.create_project(shop(id), &record()).await.unwrap_err();
        assert_eq!(error, RegistryError::NotFound { what: "organization" });
    }
}

async fn deleting_a_project_deletes_all_that_is_its_own(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let secret = keyring(1, &[]).seal(&jwt_secret_place("shop"), "s");
    registry.set_project_jwt_secret("shop", &secret, &record()).await.unwrap();
    registry.put_member("shop", "vera", Role::Viewer, &record()).await.unwrap();
    registry.create_connection("shop", new_connection("redis", "cache"), &record()).await.unwrap();

    registry.delete_project("shop", &record()).await.unwrap();
    assert_eq!(
        registry.delete_project("shop", &record()).await.unwrap_err(),
        RegistryError::NotFound { what: "project" }
    );
    for query in [
        "SELECT CAST(COUNT(*) AS TEXT) FROM projects",
        "SELECT CAST(COUNT(*) AS TEXT) FROM credentials",
        "SELECT CAST(COUNT(*) AS TEXT) FROM project_members",
        "SELECT CAST(COUNT(*) AS TEXT) FROM database_connections",
    ] {
        assert_eq!(fixture.read(query).await, "0", "{query}");
    }
    assert!(registry.find_organization("acme").await.unwrap().is_some());
}

async fn a_jwt_secret_is_set_replaced_and_told_from_a_plain_one(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let keyring = keyring(1, &[]);
    let place = jwt_secret_place("shop");
    assert!(registry.project_jwt_secret("shop").await.unwrap().is_none());
    for secret in ["first", "second"] {
        registry.set_project_jwt_secret("shop", &keyring.seal(&place, secret), &record()).await.unwrap();
        let stored = registry.project_jwt_secret("shop").await.unwrap().unwrap();
        assert!(matches!(stored, StoredSecret::Sealed(_)));
        assert_eq!(stored.open(&keyring, &place).unwrap().expose_secret(), secret);
    }
    assert_eq!(fixture.read("SELECT CAST(COUNT(*) AS TEXT) FROM credentials").await, "1");
    fixture.execute("UPDATE credentials SET jwt_secret = 'plain-old-secret'").await;
    let stored = registry.project_jwt_secret("shop").await.unwrap().unwrap();
    assert!(matches!(stored, StoredSecret::Plain(_)));
    assert_eq!(stored.open(&keyring, &place).unwrap().expose_secret(), "plain-old-secret");
    assert!(!format!("{stored:?}").contains("plain-old-secret"));
    let error =
        registry.set_project_jwt_secret("nope", &keyring.seal(&place, "x"), &record()).await.unwrap_err();
    assert_eq!(error, RegistryError::NotFound { what: "project" });
}

async fn audit_records_of_any_number_are_appended_in_order(fixture: Fixture) {
    let start: jiff::Timestamp = "2026-11-22T16:02:21Z".parse().unwrap();
    for count in [1, 2, 63, 64, 65, 500] {
        let records: Vec<_> = (0..count)
            .map(|number| AuditRecord {
                at: start + jiff::SignedDuration::from_millis(number),
                target: Some(number.to_string()),
                ..record()
            })
            .collect();
        fixture.registry().append_audit(&records).await.unwrap();
        // Their ids begin with the time.
        let targets = "SELECT CAST(COUNT(*) AS TEXT) || ' ' || MIN(CAST(target AS INT)) || ' ' || MAX(CAST(target AS INT))
                       || ' ' || MIN(substr(CAST(id AS TEXT), 15, 1)) FROM (
                           SELECT id, target, row_number() OVER (ORDER BY id) AS place FROM gateway_audit_logs
                       ) AS placed WHERE CAST(target AS INT) = place - 1";
        assert_eq!(fixture.read(targets).await, format!("{count} 0 {} 7", count - 1));
        fixture.execute("DELETE FROM gateway_audit_logs").await;
    }
}

async fn audit_records_are_appended_whole(fixture: Fixture) {
    let record = AuditRecord {
        at: "2026-11-22T16:02:21.1234567Z".parse().unwrap(),
        user_id: Some("olga".to_owned()),
        action: "connection.create".to_owned(),
        project_ref: Some("shop".to_owned()),
        target: Some("8d5e3c1e".to_owned()),
        result: "ok".to_owned(),
        remote_address: Some("127.0.0.1".to_owned()),
        request_id: Some("r-1".to_owned()),
    };
    let anonymous = AuditRecord {
        user_id: None,
        project_ref: None,
        target: None,
        remote_address: None,
        request_id: None,
        ..record.clone()
    };
    let odd = AuditRecord { user_id: Some("a\0\"\\u0000é".to_owned()), ..record.clone() };
    fixture.registry().append_audit(&[]).await.unwrap();
    fixture.registry().append_audit(&[record, anonymous]).await.unwrap();
    assert_eq!(fixture.read("SELECT CAST(COUNT(DISTINCT id) AS TEXT) FROM gateway_audit_logs").await, "2");
    fixture.registry().append_audit(&[odd]).await.unwrap();
    let users = fixture.read("SELECT user_id FROM gateway_audit_logs WHERE user_id <> 'olga'").await;
    assert_eq!(users, "a\u{FFFD}\"\\u0000é");
    fixture.execute("DELETE FROM gateway_audit_logs WHERE user_id <> 'olga'").await;
    let query = "SELECT action || user_id || project_ref || target || result || remote_address || request_id
                 FROM gateway_audit_logs WHERE user_id IS NOT NULL";
    assert_eq!(fixture.read(query).await, "connection.createolgashop8d5e3c1eok127.0.0.1r-1");
    let at = fixture.read("SELECT CAST(at AS TEXT) FROM gateway_audit_logs LIMIT 1").await;
    assert!(at.contains("16:02:21.123") && !at.contains("1234"), "{at}");
}
