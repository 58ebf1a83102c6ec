//! Tests of members, their access, and the lists that they see.

use super::*;

on_both_databases!(
    access_is_the_highest_of_both_memberships,
    a_role_that_means_nothing_gives_nothing,
    members_are_put_changed_listed_and_removed,
    members_see_what_is_theirs,
);

async fn role_of(fixture: &Fixture, user_id: &str) -> Option<Role> {
    fixture.registry().find_access("shop", user_id).await.unwrap().unwrap().role
}

#[test]
fn roles_are_ordered_and_read_strictly_from_input() {
    assert!(Role::Viewer < Role::Developer && Role::Developer < Role::Admin && Role::Admin < Role::Owner);
    for (name, role) in [
        ("viewer", Role::Viewer),
        ("developer", Role::Developer),
        ("admin", Role::Admin),
        ("owner", Role::Owner),
    ] {
        assert_eq!(Role::parse(name), Some(role));
        assert_eq!(Role::from_stored(&name.to_uppercase()), Some(role));
        assert_eq!(serde_json::to_value(role).unwrap(), name);
    }
    for name in ["member", "read_only", "Owner", "", "root"] {
        assert_eq!(Role::parse(name), None);
    }
    assert_eq!(Role::from_stored("member"), Some(Role::Viewer));
    assert_eq!(Role::from_stored("read_only"), Some(Role::Viewer));
    assert_eq!(Role::from_stored("superuser"), None);
}

async fn access_is_the_highest_of_both_memberships(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let access = registry.find_access("shop", "olga").await.unwrap().unwrap();
    assert_eq!(access.reference, "shop");
    assert_eq!(access.project_id, registry.find_project("shop").await.unwrap().unwrap().id);
    assert_eq!(access.role, Some(Role::Owner));
    assert_eq!(role_of(&fixture, "vera").await, None);
    assert_eq!(registry.find_access("nope", "olga").await.unwrap(), None);

    registry.put_member("shop", "olga", Role::Viewer, &record()).await.unwrap();
    assert_eq!(role_of(&fixture, "olga").await, Some(Role::Owner));
    registry.put_member("shop", "vera", Role::Developer, &record()).await.unwrap();
    assert_eq!(role_of(&fixture, "vera").await, Some(Role::Developer));
    fixture
        .execute(
            "INSERT INTO organization_members (organization_id, user_id, role)
             SELECT id, 'vera', 'ADMIN' FROM organizations",
        )
        .await;
    assert_eq!(role_of(&fixture, "vera").await, Some(Role::Admin));
    assert_eq!(registry.organization_role("acme", "vera").await.unwrap(), Some(Role::Admin));
    assert_eq!(registry.organization_role("acme", "nobody").await.unwrap(), None);
    assert_eq!(registry.organization_role("nope", "vera").await.unwrap(), None);
}

async fn a_role_that_means_nothing_gives_nothing(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    fixture
        .execute(
            "INSERT INTO organization_members (organization_id, user_id, role)
             SELECT id, 'odd', 'superuser' FROM organizations;
             INSERT INTO organization_members (organization_id, user_id, role)
             SELECT id, 'old', 'member' FROM organizations",
        )
        .await;
    assert_eq!(role_of(&fixture, "odd").await, None);
    assert_eq!(role_of(&fixture, "old").await, Some(Role::Viewer));
    let registry = fixture.registry();
    let members = registry.list_members("shop").await.unwrap();
    assert!(members.iter().all(|member| member.user_id != "odd"));
    for (user_id, seen) in [("odd", 0), ("old", 1)] {
        let visibility = Visibility::Member { user_id: user_id.to_owned(), references: Vec::new() };
        assert_eq!(registry.list_projects(&visibility, 100, 0).await.unwrap().items.len(), seen);
        assert_eq!(registry.list_organizations(&visibility, 100, 0).await.unwrap().items.len(), seen);
    }
}

async fn members_are_put_changed_listed_and_removed(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    registry.put_member("shop", "vera", Role::Viewer, &record()).await.unwrap();
    registry.put_member("shop", "vera", Role::Admin, &record()).await.unwrap();
    registry.put_member("shop", "olga", Role::Developer, &record()).await.unwrap();
    let member = |user_id: &str, role, via| Member { user_id: user_id.to_owned(), role, via };
    let expected = [
        member("olga", Role::Owner, MemberVia::Organization),
        member("olga", Role::Developer, MemberVia::Project),
        member("vera", Role::Admin, MemberVia::Project),
    ];
    assert_eq!(registry.list_members("shop").await.unwrap(), expected);
    assert_eq!(serde_json::to_value(&expected[2]).unwrap()["via"], "project");

    registry.remove_member("shop", "olga", &record()).await.unwrap();
    for (reference, user, missing) in [("shop", "olga", "member"), ("nope", "vera", "project")] {
        let error = registry.remove_member(reference, user, &record()).await.unwrap_err();
        assert_eq!(error, RegistryError::NotFound { what: missing });
    }
    assert_eq!(role_of(&fixture, "olga").await, Some(Role::Owner));

    let no_project = RegistryError::NotFound { what: "project" };
    assert_eq!(registry.list_members("nope").await.unwrap_err(), no_project);
    assert_eq!(registry.put_member("nope", "vera", Role::Viewer, &record()).await.unwrap_err(), no_project);
}

async fn members_see_what_is_theirs(fixture: Fixture) {
    let fixture = fixture.with_project().await;
    let registry = fixture.registry();
    let other = NewOrganization { slug: "other".to_owned(), owner: "otto".to_owned(), ..acme() };
    let other = registry.create_organization(other, &record()).await.unwrap();
    for reference in ["alpha", "beta"] {
        let project =
            NewProject { name: reference.to_owned(), reference: reference.to_owned(), ..shop(&other.id) };
        registry.create_project(project, &record()).await.unwrap();
    }
    registry.put_member("beta", "olga", Role::Viewer, &record()).await.unwrap();

    let seen_by = async |user_id: &str, extra: &[&str]| {
        let references = extra.iter().map(|&reference| reference.to_owned()).collect();
        let visibility = Visibility::Member { user_id: user_id.to_owned(), references };
        let projects = registry.list_projects(&visibility, 100, 0).await.unwrap().items;
        let mut seen: Vec<_> = projects.into_iter().map(|project| project.reference).collect();
        seen.sort();
        let organizations = registry.list_organizations(&visibility, 100, 0).await.unwrap().items;
        (seen, organizations.into_iter().map(|organization| organization.slug).collect::<Vec<_>>())
    };
    assert_eq!(registry.list_projects(&Visibility::All, 100, 0).await.unwrap().items.len(), 3);
    assert_eq!(seen_by("olga", &[]).await, (names(&["beta", "shop"]), names(&["acme"])));
    assert_eq!(seen_by("otto", &[]).await, (names(&["alpha", "beta"]), names(&["other"])));
    assert_eq!(seen_by("nobody", &[]).await, (names(&[]), names(&[])));
    // Projects that a token gives access to; a reference may contain quotes.
    assert_eq!(seen_by("nobody", &["alpha", "nope", "it's \"odd\""]).await, (names(&["alpha"]), names(&[])));
    assert_eq!(seen_by("olga", &["shop", "alpha"]).await.0, names(&["alpha", "beta", "shop"]));
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
