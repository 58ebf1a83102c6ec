//! Logging in (PostgreSQL's manual, 55.2.1): with a password in each way that servers ask for it, or none.

use super::{Wire, binding, unexpected};
use crate::{
    errors::{Failure, ServerError},
    options::{ChannelBinding, Target},
};
use postgres_protocol::{
    authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};
use std::io;
use studio_plugin_api::DriverError;

/// How often a server may have the password hashed. PostgreSQL's default is 4,096 (its manual, `scram_iterations`); this
/// takes a tenth of a second.
const MOST_ITERATIONS: u32 = 100_000;

/// How often a server may ask for the password, in one way or another.
const MOST_QUESTIONS: u32 = 2;

impl Wire {
    /// Says who logs in to which database, proves it, and waits until the server is ready.
    pub(super) async fn log_in(&mut self, target: &Target) -> Result<(), Failure> {
        let parameters = target.parameters.iter().map(|(name, value)| (*name, value.as_str()));
        let parameters = [("user", target.user.as_str())].into_iter().chain(parameters);
        frontend::startup_message(parameters, &mut self.outgoing)?;
        self.flush().await?;
        let password = || {
            target.password.as_ref().map(|password| password.expose().as_bytes()).ok_or_else(|| {
                DriverError::connection(
                    "authentication_failed",
                    "the PostgreSQL server asks for a password, and the connection has none",
                )
            })
        };
        let mut asked = 0;
        let mut is_bound = false;
        loop {
            let message = self.receive().await?;
            if matches!(
                message,
                Message::AuthenticationCleartextPassword
                    | Message::AuthenticationMd5Password(_)
                    | Message::AuthenticationSasl(_)
            ) {
                asked += 1;
            }
            if asked > MOST_QUESTIONS {
                let message = "the PostgreSQL server asks for the password again and again";
                return Err(DriverError::connection("authentication_failed", message).into());
            }
            // Before the password is on its way.
            let must_be_bound = target.channel_binding == ChannelBinding::Require && !is_bound;
            match message {
                Message::AuthenticationOk
                | Message::AuthenticationCleartextPassword
                | Message::AuthenticationMd5Password(_)
                    if must_be_bound =>
                {
                    return Err(unbound("asks for the password in another way").into());
                }
                Message::AuthenticationOk => {}
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(password()?, &mut self.outgoing)?;
                    self.flush().await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let (user, password) = (target.user.as_bytes(), password()?);
                    let hash = postgres_protocol::authentication::md5_hash(user, password, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.outgoing)?;
                    self.flush().await?;
                }
                Message::AuthenticationSasl(body) => {
                    is_bound = self.log_in_by_scram(&body, password()?, target.channel_binding).await?;
                }
                Message::BackendKeyData(body) => {
                    (self.process_id, self.secret_key) = (body.process_id(), body.secret_key());
                }
                Message::ErrorResponse(body) => return Err(Failure::Refused(ServerError::read(&body)?)),
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {
                    let message = "the PostgreSQL server asks for a kind of login that is not supported: there are \
                                   passwords (SCRAM-SHA-256, MD5, plain) and certificates";
                    return Err(DriverError::connection("unsupported", message).into());
                }
            }
        }
    }

    /// RFC 7677. The result is whether the login is bound to the TLS connection.
    async fn log_in_by_scram(
        &mut self,
        body: &AuthenticationSaslBody,
        password: &[u8],
        wanted: ChannelBinding,
    ) -> Result<bool, Failure> {
        use fallible_iterator::FallibleIterator as _;
        let offers = |name: &str| body.mechanisms().any(|mechanism| Ok(mechanism == name));
        let hash = match wanted {
            ChannelBinding::Disable => None,
            ChannelBinding::Prefer | ChannelBinding::Require => {
                self.stream.certificate().and_then(binding::hash_of)
            }
        };
        let (mechanism, binding) = match hash {
            Some(hash) if offers(SCRAM_SHA_256_PLUS)? => {
                (SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash))
            }
            _ if wanted == ChannelBinding::Require => {
                return Err(unbound(match self.stream.certificate() {
                    Some(_) => "does not offer it, or has a certificate that it can't be done with",
                    None => "was connected to without TLS",
                })
                .into());
            }
            // The server then knows that nobody in between took its offer away.
            Some(_) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        if mechanism == SCRAM_SHA_256 && !offers(SCRAM_SHA_256)? {
            let message = "the PostgreSQL server offers no SCRAM-SHA-256";
            return Err(DriverError::connection("unsupported", message).into());
        }
        let refused = |error: io::Error| {
            DriverError::connection(
                "authentication_failed",
                format!("SCRAM with the PostgreSQL server: {error}"),
            )
        };
        let mut scram = ScramSha256::new(password, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), &mut self.outgoing)?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Message::AuthenticationSaslContinue(body) => {
                    check_iterations(body.data())?;
                    scram.update(body.data()).map_err(refused)?;
                    frontend::sasl_response(scram.message(), &mut self.outgoing)?;
                    self.flush().await?;
                }
                // The server proves that it knows the password too.
                Message::AuthenticationSaslFinal(body) => {
                    scram.finish(body.data()).map_err(refused)?;
                    return Ok(mechanism == SCRAM_SHA_256_PLUS);
                }
                Message::ErrorResponse(body) => return Err(Failure::Refused(ServerError::read(&body)?)),
                _ => return Err(unexpected().into()),
            }
        }
    }
}

fn unbound(why: &str) -> DriverError {
    let message = format!("the connection asks for channel_binding, and the PostgreSQL server {why}");
    DriverError::connection("authentication_failed", message)
}

/// Refuses a server that wants the password hashed for so long that others would wait (RFC 5802, the attribute `i`).
fn check_iterations(challenge: &[u8]) -> Result<(), DriverError> {
    let attributes = challenge.split(|byte| *byte == b',');
    let counts = attributes.filter_map(|attribute| attribute.strip_prefix(b"i="));
    let fits = |count: &[u8]| {
        let count = std::str::from_utf8(count).ok().and_then(|count| count.parse::<u32>().ok());
        count.is_some_and(|count| count <= MOST_ITERATIONS)
    };
    match counts.into_iter().all(fits) {
        true => Ok(()),
        false => Err(DriverError::connection(
            "authentication_failed",
            format!(
                "the PostgreSQL server asks for more than {MOST_ITERATIONS} rounds of hashing the password"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_not_have_the_password_hashed_forever() {
        for fine in ["r=abc,s=QSXCR+Q6sek8bf92,i=4096", "r=i=9999999,s=i,i=100000", "r=abc", ""] {
            // The nonce is the server's own text up to a comma.
            let nonce_names_none = check_iterations(fine.as_bytes());
            assert!(nonce_names_none.is_ok(), "{fine}");
        }
        for refused in
            ["r=a,s=b,i=100001", "r=a,s=b,i=4294967295", "r=a,s=b,i=99999999999", "i=x", "i=1,i=200000"]
        {
            let error = check_iterations(refused.as_bytes()).unwrap_err();
            assert_eq!(error.details["reason"], "authentication_failed", "{refused}");
        }
    }
}
