//! The challenge of a SCRAM login (RFC 5802, section 7): `r=nonce,s=salt,i=rounds`.

use super::Breach;

/// The most rounds of hashing that a login may cost. MongoDB's own are 10,000 (SHA-1) and 15,000 (SHA-256).
const MAX_ROUNDS: u32 = 100_000;
/// The longest message of a login, in bytes.
pub(super) const MAX_PAYLOAD: u32 = 4 << 10;
/// The client's own nonce, with which the server's begins, in bytes.
const CLIENT_NONCE: usize = 44;

/// Whether this message of a login is a challenge, after which the client hashes.
///
/// # Errors
/// A challenge that costs too much, or that the client library would trip over.
pub(super) fn is_challenge(payload: &[u8]) -> Result<bool, Breach> {
    if !payload.starts_with(b"r=") {
        return Ok(false);
    }
    let text = std::str::from_utf8(payload).map_err(|_| Breach("a login's challenge is not text"))?;
    let mut parts = text.split(',');
    let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).unwrap_or_default();
    if nonce.len() < CLIENT_NONCE || !nonce.is_ascii() {
        return Err(Breach("a login's challenge does not begin with the client's nonce"));
    }
    let rounds =
        parts.nth(1).and_then(|part| part.strip_prefix("i=")).and_then(|rounds| rounds.parse::<u32>().ok());
    match rounds {
        Some(rounds) if rounds <= MAX_ROUNDS => Ok(true),
        Some(_) => Err(Breach("a login asks for more than 100000 rounds of hashing")),
        None => Err(Breach("a login's challenge does not say how many rounds of hashing it takes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_cost_at_most_a_hundred_thousand_rounds() {
        let nonce = "n".repeat(CLIENT_NONCE);
        let challenge = |rounds: &str| is_challenge(format!("r={nonce}srv,s=c2FsdA==,i={rounds}").as_bytes());
        for rounds in ["4096", "15000", "100000", "0100000", "+5000"] {
            assert_eq!(challenge(rounds), Ok(true), "{rounds}");
        }
        for rounds in ["100001", "4294967295", "4294967296", "99999999999999999999", "-1", "", "1e3", " 5000"]
        {
            assert!(challenge(rounds).is_err(), "{rounds}");
        }
        for other in ["v=c2lnbmF0dXJl", "", "e=other-error", "i=4294967295"] {
            assert_eq!(is_challenge(other.as_bytes()), Ok(false), "{other}");
        }
        for odd in ["r=", "r=short,s=c2FsdA==,i=5000", &format!("r={},s=c2FsdA==,i=5000", "ä".repeat(22))] {
            assert!(is_challenge(odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(is_challenge(format!("r={nonce},i=5000,s=c2FsdA==").as_bytes()).is_err());
    }
}
