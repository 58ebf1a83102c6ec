//! Single values that the client library computes with.

use super::{Breach, login::is_challenge};

/// Bytes of a message of a login.
pub(super) const MAX_PAYLOAD: u32 = 4 << 10;
/// Bytes of a member's name: a host's is 255 at most.
pub(super) const MAX_MEMBER: u32 = 300;

pub(super) const NO_MEMBER: Breach = Breach("a replica set names a member that is no host");

/// A value that is looked at when it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// A number that must be from 1 to the largest int32.
    Positive,
    /// The same, or 0.
    NotNegative,
    /// A message of a login, with the subtype before it.
    Login,
    /// The name of a replica set's member, with the zero byte at its end.
    Member,
}

impl Watched {
    /// Tells how the number of this name, in the outermost document of a reply, is looked at, if it is.
    pub(super) fn number(name: &[u8]) -> Option<Self> {
        match name {
            b"maxBsonObjectSize" | b"maxMessageSizeBytes" | b"maxWriteBatchSize" => Some(Self::Positive),
            b"logicalSessionTimeoutMinutes" => Some(Self::NotNegative),
            _ => None,
        }
    }

    /// Looks at the bytes of a value, and tells whether it makes the client hash.
    ///
    /// # Errors
    /// [`Breach`].
    pub(super) fn look(self, bytes: &[u8]) -> Result<bool, Breach> {
        let fine = match self {
            Self::Login => return is_challenge(bytes.get(1..).unwrap_or_default()),
            Self::Member if is_host(bytes) => return Ok(false),
            Self::Member => return Err(NO_MEMBER),
            Self::Positive => 1..=i64::from(i32::MAX),
            Self::NotNegative => 0..=i64::from(i32::MAX),
        };
        let number = match *bytes {
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => -1,
        };
        if fine.contains(&number) {
            Ok(false)
        } else {
            Err(Breach("a number in the reply to `hello` is out of any range"))
        }
    }
}

/// Tells whether a member, with the zero byte at its end, is a host: the client library takes a name that ends in
/// `.sock` for the path of a Unix socket of this machine.
fn is_host(member: &[u8]) -> bool {
    let name = member.strip_suffix(&[0]).unwrap_or(member);
    name.iter().all(|byte| byte.is_ascii_graphic() && !b"/%".contains(byte)) && !name.ends_with(b".sock")
}
