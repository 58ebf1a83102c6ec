//! The master that Sentinels name. All of them are asked at once, since some may hang; each name that comes is tried,
//! since a Sentinel's knowledge may be older than a failover.

use super::{
    dial::{self, dial_server},
    mux::Mux,
};
use crate::{
    errors,
    options::{Address, Target},
    wire,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use redis::{RedisConnectionInfo, cmd};
use studio_plugin_api::{DriverError, ErrorCode, Network};

enum Step {
    Named(Option<Address>),
    Dialed(Mux),
}

/// Connects to the master of this name.
pub(super) async fn dial_master(
    master: &str,
    sentinels: &[Address],
    target: &Target,
    network: &Network,
) -> Result<Mux, DriverError> {
    let mut failure = DriverError::connection("unavailable", "no Sentinel knows the master by this name");
    let mut steps = FuturesUnordered::<BoxFuture<'_, Result<Step, DriverError>>>::new();
    for sentinel in sentinels {
        steps.push(Box::pin(ask_sentinel(master, sentinel, target, network)));
    }
    let mut tried: Vec<Address> = Vec::new();
    while let Some(step) = steps.next().await {
        match step {
            Ok(Step::Dialed(server)) => return Ok(server),
            Ok(Step::Named(Some(address))) if !tried.contains(&address) => {
                tried.push(address.clone());
                steps.push(Box::pin(dial_named(address, target, network)));
            }
            Ok(Step::Named(_)) => {}
            // An address that the rules exclude stays excluded whatever the next one says.
            Err(error) if error.code == ErrorCode::Forbidden => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dial_named(address: Address, target: &Target, network: &Network) -> Result<Step, DriverError> {
    let server = dial_server(&address, target.tls.as_ref(), &target.login, network).await?;
    match role(&server).await {
        Some(role) if role != "master" => {
            Err(errors::unavailable("the server that the Sentinels name is no master"))
        }
        _ => Ok(Step::Dialed(server)),
    }
}

/// Sentinels have logins of their own, most often none: the connection's is tried only where one asks for it.
async fn ask_sentinel(
    master: &str,
    sentinel: &Address,
    target: &Target,
    network: &Network,
) -> Result<Step, DriverError> {
    let plain = RedisConnectionInfo::default();
    let tls = target.tls.as_ref();
    let server = match dial_server(sentinel, tls, &plain, network).await {
        Err(error) if error.details.get("reason").is_some_and(|reason| reason == "authentication_failed") => {
            dial_server(sentinel, tls, &target.login.clone().set_db(0), network).await?
        }
        other => other?,
    };
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer = wire::check(dial::ask(&server, &question).await?)?;
    let parts = wire::items(answer).ok_or_else(|| DriverError::unexpected_answer("SENTINEL"))?;
    let mut parts = parts.into_iter().filter_map(wire::text);
    Ok(Step::Named(match (parts.next(), parts.next().and_then(|port| port.parse().ok())) {
        (Some(host), Some(port)) => Some(Address { host, port }),
        _ => None,
    }))
}

async fn role(server: &Mux) -> Option<String> {
    wire::items(dial::ask(server, &cmd("ROLE")).await.ok()?)?.into_iter().next().and_then(wire::text)
}
