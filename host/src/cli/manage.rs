//! `token`, `project …`, `connection …`: management right in the registry, without a running gateway.

use super::{
    CommandError,
    arguments::{ConnectionCommand, ProjectCommand, TokenArguments},
};
use crate::{
    config::{MINIMUM_SECRET_BYTES, OnPluginError, Settings},
    gateway::{Parts, driver_loader, open_keyring, open_registry},
    identity::{NewToken, issue_token},
    management::{input::check_identifier, visible_options},
    plugins::{Driver, catalog::Catalog},
    registry::{
        AuditRecord, Connection, ConnectionId, ConnectionSelector, NewOrganization, NewProject, Registry,
        RegistryError, Visibility, jwt_secret_place,
    },
    secrets::Keyring,
};
use secrecy::ExposeSecret;
use serde_json::json;
use std::{io::Read, sync::Arc};
use studio_plugin_api::parameters;

pub(super) fn token(settings: &Settings, arguments: TokenArguments) -> Result<(), CommandError> {
    let secret = settings
        .identity
        .jwt_secret
        .as_ref()
        .ok_or("GATEWAY_JWT_SECRET is not set: it is what tokens are signed with")?;
    let token = NewToken {
        subject: arguments.sub,
        projects: arguments.projects.into_iter().map(|grant| (grant.reference, grant.role)).collect(),
        platform_admin: arguments.platform_admin,
        audience: settings.identity.audience.clone(),
        issuer: settings.identity.issuer.clone(),
        time_to_live: *arguments.ttl,
    };
    println!("{}", issue_token(secret, &token)?.expose_secret());
    Ok(())
}

async fn open(settings: &Settings) -> Result<(Arc<dyn Registry>, Arc<Keyring>), CommandError> {
    let keyring = Arc::new(open_keyring(settings)?);
    Ok((open_registry(settings, &keyring).await?, keyring))
}

pub(super) async fn project(settings: &Settings, command: ProjectCommand) -> Result<(), CommandError> {
    let (registry, keyring) = open(settings).await?;
    match command {
        ProjectCommand::Create { reference, organization, name, owner } => {
            check_identifier("ref", &reference)?;
            let organization = match registry.find_organization(&organization).await? {
                Some(organization) => organization,
                None => {
                    check_identifier("organization", &organization)?;
                    let new = NewOrganization {
                        name: organization.clone(),
                        slug: organization,
                        billing_email: None,
                        owner,
                    };
                    let record = change("organization.create", None, Some(&new.slug));
                    registry.create_organization(new, &record).await?
                }
            };
            let new = NewProject {
                organization_id: organization.id,
                name: name.unwrap_or_else(|| reference.clone()),
                reference,
                database: None,
                database_password: None,
            };
            let record = change("project.create", Some(&new.reference), None);
            println!("{}", serde_json::to_string_pretty(&registry.create_project(new, &record).await?)?);
        }
        ProjectCommand::List => {
            let projects = registry.list_projects(&Visibility::All, u32::MAX, 0).await?.items;
            println!("{}", serde_json::to_string_pretty(&projects)?);
        }
        ProjectCommand::Delete { reference } => {
            let record = change("project.delete", Some(&reference), None);
            registry.delete_project(&reference, &record).await.map_err(|error| match error {
                RegistryError::NotFound { .. } => format!("there is no project `{reference}`").into(),
                error => CommandError::from(error),
            })?;
        }
        ProjectCommand::SetJwtSecret { reference } => {
            let secret = read_input()?;
            let secret = secret.trim_end_matches(['\r', '\n']);
            if secret.len() < MINIMUM_SECRET_BYTES {
                return Err(format!("the secret must have at least {MINIMUM_SECRET_BYTES} bytes").into());
            }
            let sealed = keyring.seal(&jwt_secret_place(&reference), secret);
            let record = change("project.set_jwt_secret", Some(&reference), None);
            registry.set_project_jwt_secret(&reference, &sealed, &record).await?;
        }
    }
    Ok(())
}

pub(super) async fn connection(settings: &Settings, command: ConnectionCommand) -> Result<(), CommandError> {
    let (registry, keyring) = open(settings).await?;
    let loader = driver_loader(settings, std::env::current_exe().ok(), Some(keyring.clone()));
    let catalog = Catalog::load(&settings.plugins.file, OnPluginError::Skip, loader).await?;
    let manager = Parts::wire(settings, &registry, &keyring).connections;
    let driver = |database_type: &str| {
        catalog
            .driver(database_type)
            .ok_or_else(|| format!("there is no driver for `{database_type}` in plugins.toml"))
    };
    match command {
        ConnectionCommand::Create { reference, database_type } => {
            let driver = driver(&database_type)?;
            let body = parameters::from_body(read_input()?.as_bytes())?;
            let record = change("connection.create", Some(&reference), None);
            print(&manager.create(&reference, &driver, body, record).await?, Some(&driver))?;
        }
        ConnectionCommand::List { reference } => {
            for connection in registry.list_connections(&reference, None, u32::MAX, 0).await?.items {
                print(&connection, catalog.driver(&connection.database_type).as_deref())?;
            }
        }
        ConnectionCommand::Test { reference, database_type, identifier } => {
            let driver = driver(&database_type)?;
            let id = find(&*registry, &reference, &database_type, identifier).await?;
            // The record is written before the test, which can't be undone if the record can't be written.
            let record = change("connection.test", Some(&reference), Some(&id.to_string()));
            registry.append_audit(&[record]).await?;
            let tested = manager.test(&reference, &driver, id).await?;
            let facts = tested.outcome?;
            println!("{}", serde_json::to_string_pretty(&facts)?);
        }
        ConnectionCommand::Delete { reference, database_type, identifier } => {
            let id = find(&*registry, &reference, &database_type, identifier).await?;
            let record = change("connection.delete", Some(&reference), Some(&id.to_string()));
            manager.delete(&reference, &database_type, id, record).await?;
        }
    }
    Ok(())
}

/// Makes the record of a change by a user of this machine who may read the gateway's settings, under their system name.
pub(super) fn change(action: &str, project: Option<&str>, target: Option<&str>) -> AuditRecord {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    AuditRecord {
        at: jiff::Timestamp::now(),
        user_id: Some(format!("command_line:{}", name.unwrap_or_default())),
        action: action.to_owned(),
        project_ref: project.map(str::to_owned),
        target: target.map(str::to_owned),
        result: "ok".to_owned(),
        remote_address: None,
        request_id: None,
    }
}

async fn find(
    registry: &dyn Registry,
    reference: &str,
    database_type: &str,
    identifier: String,
) -> Result<ConnectionId, CommandError> {
    let missing =
        format!("there is no `{database_type}` connection `{identifier}` in the project `{reference}`");
    let selector = ConnectionSelector::Identifier(identifier);
    let found = registry.find_connection(reference, database_type, &selector).await?;
    Ok(found.ok_or(missing)?.id)
}

fn print(connection: &Connection, driver: Option<&Driver>) -> Result<(), CommandError> {
    let parts = connection.settings.endpoint.parts();
    let shown = json!({
        "id": connection.id,
        "database_type": connection.database_type,
        "identifier": connection.identifier,
        "host": parts.map(|parts| &parts.host),
        "port": parts.and_then(|parts| parts.port),
        "options": visible_options(driver, connection),
        "is_primary": connection.is_primary,
        "status": connection.status,
    });
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(())
}

fn read_input() -> Result<String, CommandError> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
