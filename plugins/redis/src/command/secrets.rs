//! Passwords among a server's settings, which `CONFIG GET` would show: they may well be the connection's own.

use redis::Value;

/// The settings that hold one (redis.conf).
const SECRETS: [&[u8]; 4] =
    [b"requirepass", b"masterauth", b"tls-key-file-pass", b"tls-client-key-file-pass"];

/// Blots out their values in the reply to `CONFIG GET`: a map in RESP3, names and values in turn in RESP2. An empty
/// value stays: that there is no password is no secret.
pub(super) fn hide(reply: &mut Value) {
    match reply {
        Value::Map(pairs) => {
            for (name, value) in pairs {
                // In a cluster each node's settings stand under its address.
                if is_secret(name) { blot(value) } else { hide(value) }
            }
        }
        Value::Array(items) => {
            for pair in items.chunks_exact_mut(2) {
                if let [name, value] = pair
                    && is_secret(name)
                {
                    blot(value);
                }
            }
        }
        _ => {}
    }
}

fn is_secret(name: &Value) -> bool {
    match name {
        Value::BulkString(name) => SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)),
        Value::SimpleString(name) => {
            SECRETS.iter().any(|secret| name.as_bytes().eq_ignore_ascii_case(secret))
        }
        _ => false,
    }
}

fn blot(value: &mut Value) {
    if !matches!(value, Value::BulkString(text) if text.is_empty()) {
        *value = Value::SimpleString("(hidden)".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn passwords_are_hidden_in_both_forms_and_nothing_else_is() {
        let mut flat = Value::Array(vec![text("maxmemory"), text("0"), text("requirepass"), text("geheim")]);
        hide(&mut flat);
        assert!(!format!("{flat:?}").contains("geheim"));
        assert_eq!(flat.as_sequence().unwrap()[1], text("0"));
        let mut nodes = Value::Map(vec![(
            text("127.0.0.1:7000"),
            Value::Array(vec![text("requirepass"), text("geheim")]),
        )]);
        hide(&mut nodes);
        assert!(!format!("{nodes:?}").contains("geheim"));
        let mut map = Value::Map(vec![(text("masterauth"), text("geheim")), (text("requirepass"), text(""))]);
        hide(&mut map);
        let hidden = Value::SimpleString("(hidden)".to_owned());
        assert_eq!(map, Value::Map(vec![(text("masterauth"), hidden), (text("requirepass"), text(""))]));
    }
}
