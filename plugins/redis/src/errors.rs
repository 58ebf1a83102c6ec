//! What Redis and its client say went wrong, in the contract's words.

use redis::{ErrorKind, RedisError, ServerError, Value};
use std::time::Duration;
use studio_plugin_api::DriverError;

/// How long a server that can't answer now is left alone.
const PAUSE: Duration = Duration::from_secs(1);

const LOST: &str = "the connection to the Redis server was lost";

/// An error that the server answered with.
pub(crate) fn from_server(error: &ServerError) -> DriverError {
    from_code(error.code(), error.details().unwrap_or_default())
}

/// An error of the client library: the connection broke, or the server's answer makes no sense.
pub(crate) fn from_client(error: &RedisError) -> DriverError {
    if let Some(code) = error.code() {
        return from_code(code, error.detail().unwrap_or_default());
    }
    match error.kind() {
        ErrorKind::RESP3NotSupported => {
            DriverError::connection("unsupported", "the Redis server does not speak RESP3")
        }
        ErrorKind::Parse => not_redis(),
        _ if error.is_timeout() => {
            DriverError::connection("timeout", "the Redis server did not answer in time")
        }
        _ if error.is_connection_refusal() => {
            DriverError::connection("refused", "the Redis server refuses connections")
        }
        ErrorKind::Io => {
            // The cluster client tells the cause in a detail.
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            DriverError::connection("closed", format!("{LOST}{detail}"))
        }
        _ => DriverError::connection("closed", format!("no connection to the Redis server: {error}")),
    }
}

/// The server says something that is no Redis protocol, or more of it than it has reason to.
pub(crate) fn not_redis() -> DriverError {
    DriverError::connection("unsupported", "the server's answer is not Redis protocol")
}

/// TLS broke, for this reason.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn tls(cause: &str) -> DriverError {
    DriverError::connection("tls", format!("TLS with the Redis server failed: {cause}"))
}

/// The server or something on the way to it has ended the connection.
pub(crate) fn lost() -> DriverError {
    DriverError::connection("closed", LOST)
}

/// An error of the host's stream. Other reasons than that it broke are told by the host well enough.
#[cfg(any(target_family = "wasm", test))]
pub(crate) fn from_stream(error: DriverError) -> DriverError {
    if error.details.get("reason").is_some_and(|reason| reason == "closed") { lost() } else { error }
}

/// The server knows other passwords.
pub(crate) fn credentials_refused() -> DriverError {
    DriverError::connection("authentication_failed", "the Redis server refuses the stored credentials")
}

/// Whether the server refuses the command itself, to this user or to everyone, whatever key it is about.
pub(crate) fn refuses_command(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    details.starts_with("unknown ") || (error.code() == "NOPERM" && details.contains(" to run the "))
}

/// Whether the connection's user may run the command, but not on this key.
pub(crate) fn refuses_key(error: &ServerError) -> bool {
    error.code() == "NOPERM" && !refuses_command(error)
}

/// Whether a command was for another type than the key has by now.
pub(crate) fn is_of_another_type(error: &DriverError) -> bool {
    error.details.get("code").is_some_and(|code| code == "WRONGTYPE")
}

/// A text's first characters: no server has reason to say more than so many bytes of an error.
pub(crate) fn start(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// An error in a script's words: a code, if it begins with one, and a sentence.
pub(crate) fn from_text(text: &str) -> DriverError {
    match text.split_once(' ') {
        Some((code, sentence)) if code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            from_code(code, sentence)
        }
        _ => from_code("ERR", text),
    }
}

/// Whether the server refuses a command as such: its user may not use it, or there is none of this name.
pub(crate) fn is_refused(error: &DriverError) -> bool {
    let message = error.message.to_ascii_lowercase();
    error.details.get("code").is_some_and(|code| code == "NOPERM")
        || message.contains("unknown command")
        || message.contains("unknown redis command")
}

/// Whether a command has an argument that the server does not know: it is of an older release.
pub(crate) fn is_syntax(error: &DriverError) -> bool {
    error.message.contains("syntax error")
}

fn from_code(code: &str, message: &str) -> DriverError {
    // A transaction that fails for the right to end it says so in a sentence.
    let reason = message.split_once(": NOPERM ").filter(|_| code == "EXECABORT");
    let (code, message) = reason.map_or((code, message), |(_, message)| ("NOPERM", message));
    let code = start(code, 64);
    let sentence = if message.is_empty() { code } else { start(message, 4096) }.to_owned();
    match code {
        "NOPERM" => {
            DriverError::forbidden(format!("the connection's Redis user may not do this: {sentence}"))
                .with("code", code)
        }
        "NOAUTH" | "WRONGPASS" => credentials_refused().with("code", code),
        _ => match passing_reason(code, &sentence) {
            Some(reason) => {
                let mut error = DriverError::connection(reason, sentence).with("code", code);
                error.retry_after = Some(PAUSE);
                error
            }
            None => DriverError::query(code, sentence),
        },
    }
}

/// Why a server can't do now what it could at another time; `None` for what it says of the command.
fn passing_reason(code: &str, sentence: &str) -> Option<&'static str> {
    match code {
        "LOADING" => Some("loading"),
        "BUSY" => Some("busy"),
        "MASTERDOWN" | "CLUSTERDOWN" | "READONLY" | "UNBLOCKED" | "NOMASTERLINK" | "TRYAGAIN" | "MOVED"
        | "ASK" | "REDIRECT" => Some("unavailable"),
        _ if says_readonly(code, sentence) => Some("unavailable"),
        _ => None,
    }
}

/// Whether a script failed because the server is a replica, as servers before 7.0 say it.
fn says_readonly(code: &str, sentence: &str) -> bool {
    code == "ERR" && sentence.starts_with("Error running script") && sentence.contains(": -READONLY ")
}

/// Whether an answer tells that the connection no longer leads to where it should: to the primary, logged in and with
/// its data. A new one finds the place anew.
pub(crate) fn displaces(answer: &Value) -> bool {
    match answer {
        Value::ServerError(error) => {
            is_readonly(answer)
                || matches!(
                    error.code(),
                    "MASTERDOWN" | "LOADING" | "NOAUTH" | "UNBLOCKED" | "NOMASTERLINK" | "REDIRECT"
                )
        }
        Value::Attribute { data, .. } => displaces(data),
        _ => false,
    }
}

/// Whether it is that alone: a replica takes no writes.
pub(crate) fn is_readonly(answer: &Value) -> bool {
    match answer {
        Value::ServerError(error) => {
            error.code() == "READONLY" || says_readonly(error.code(), error.details().unwrap_or_default())
        }
        Value::Attribute { data, .. } => is_readonly(data),
        _ => false,
    }
}

/// Whether the server forgot who this is.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn is_login_lost(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "NOAUTH")
}

/// There is nobody to ask now.
pub(crate) fn unavailable(message: &str) -> DriverError {
    let mut error = DriverError::connection("unavailable", message);
    error.retry_after = Some(PAUSE);
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio_plugin_api::ErrorCode;

    #[test]
    fn server_codes_become_the_contract_s() {
        let error = from_code("WRONGTYPE", "Operation against a key");
        assert_eq!(error.code, ErrorCode::QueryError);
        assert_eq!(error.details["code"], "WRONGTYPE");
        assert_eq!(from_code("NOPERM", "x").code, ErrorCode::Forbidden);
        let aborted = from_code("EXECABORT", "Transaction discarded because of: NOPERM not allowed");
        assert_eq!((aborted.code, &aborted.details["code"]), (ErrorCode::Forbidden, &"NOPERM".into()));
        assert_eq!(from_code("NOAUTH", "x").details["reason"], "authentication_failed");
        let loading = from_code("LOADING", "Redis is loading the dataset in memory");
        assert_eq!(
            (loading.code, &loading.details["reason"]),
            (ErrorCode::ConnectionError, &"loading".into())
        );
        assert!(loading.retry_after.is_some());
        for (code, reason) in [("READONLY", "unavailable"), ("BUSY", "busy"), ("CLUSTERDOWN", "unavailable")]
        {
            let error = from_code(code, "x");
            assert_eq!((error.code, &error.details["reason"]), (ErrorCode::ConnectionError, &reason.into()));
            assert!(error.retry_after.is_some());
        }
        for code in ["BUSYGROUP", "BUSYKEY", "ERR", "OOM"] {
            assert_eq!(from_code(code, "x").code, ErrorCode::QueryError, "{code}");
        }
        let long = from_code(&"X".repeat(5000), &"é".repeat(5000));
        assert_eq!((long.details["code"].as_str().unwrap().len(), long.message.len()), (64, 4096));
    }

    #[test]
    fn connection_errors_are_told_apart_from_command_errors() {
        let read = |reply: &str| redis::parse_redis_value(reply.as_bytes()).unwrap();
        for reply in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-READONLY You can't write against a read only replica. script: a1, on @user_script:1.\r\n",
            "-ERR Error running script (call to f_a1): @user_script:1: -READONLY You can't write\r\n",
            "-MASTERDOWN Link with MASTER is down\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-UNBLOCKED force unblock from blocking operation, instance state changed\r\n",
        ] {
            assert!(displaces(&read(reply)), "{reply}");
        }
        for reply in [
            "-ERR x: -READONLY \r\n",
            "-WRONGTYPE x\r\n",
            "-BUSY x\r\n",
            "$8\r\nREADONLY\r\n",
            "+READONLY\r\n",
        ] {
            assert!(!displaces(&read(reply)), "{reply}");
        }
    }
}
