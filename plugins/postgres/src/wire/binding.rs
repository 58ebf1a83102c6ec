//! What binds a login to the server's certificate: `tls-server-end-point` (RFC 5929, section 4).

use sha2::{Digest, Sha256, Sha384, Sha512};

/// By which hash certificates are signed, by the last bytes of the algorithm's number and what comes before these. Those
/// signed with MD5 or SHA-1 are hashed with SHA-256.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// The hash of a certificate, by the algorithm that it is signed with; nothing where that has no hash of its own.
pub(super) fn hash_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let (fields, _) = open(certificate, SEQUENCE)?;
    let (_, after_body) = open(fields, SEQUENCE)?;
    let (algorithm, _) = open(after_body, SEQUENCE)?;
    let (number, _) = open(algorithm, OBJECT)?;
    let hash = match (number.strip_prefix(RSA), number.strip_prefix(ECDSA)) {
        (Some([0x04 | 0x05 | 0x0b]), _) | (_, Some([0x01] | [0x03, 0x02])) => {
            Sha256::digest(certificate).to_vec()
        }
        (Some([0x0c]), _) | (_, Some([0x03, 0x03])) => Sha384::digest(certificate).to_vec(),
        (Some([0x0d]), _) | (_, Some([0x03, 0x04])) => Sha512::digest(certificate).to_vec(),
        _ => return None,
    };
    Some(hash)
}

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;

/// What is in the first value of a text in DER, and what follows it.
fn open(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that has nothing but its algorithm.
    fn certificate(number: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()][..], inner].concat();
        let algorithm = wrap(SEQUENCE, &[wrap(OBJECT, number), vec![5, 0]].concat());
        wrap(SEQUENCE, &[wrap(SEQUENCE, b""), algorithm, vec![3, 1, 0]].concat())
    }

    #[test]
    fn certificates_are_hashed_as_they_are_signed() {
        let length = |prefix: &[u8], last: &[u8]| {
            hash_of(&certificate(&[prefix, last].concat())).map(|hash| hash.len() * 8)
        };
        for (prefix, last, bits) in [
            (RSA, &[0x05][..], Some(256)),
            (RSA, &[0x0b], Some(256)),
            (RSA, &[0x0c], Some(384)),
            (RSA, &[0x0d], Some(512)),
            (ECDSA, &[0x03, 0x02], Some(256)),
            (ECDSA, &[0x03, 0x03], Some(384)),
            (ECDSA, &[0x03, 0x04], Some(512)),
            // Of RSASSA-PSS the parameters say it, of Ed25519 nothing.
            (RSA, &[0x0a], None),
            (&[0x2b, 0x65], &[0x70], None),
        ] {
            assert_eq!(length(prefix, last), bits, "{last:?}");
        }
        let whole = certificate(&[RSA, &[0x0b]].concat());
        for length in 0..12 {
            assert_eq!(hash_of(&whole[..length]), None);
        }
    }
}
