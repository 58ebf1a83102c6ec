//! Names of columns that are not UTF-8: of a database of encoding SQL_ASCII, or after `client_encoding` was changed.

/// What follows a column's name: two numbers of four bytes and two of two, of four and of two (PostgreSQL's manual, 55.7).
const DESCRIPTION: usize = 18;

/// A `RowDescription` with U+FFFD in place of what is no UTF-8 in its names; nothing where all of it is, or where it is no
/// such message.
pub(super) fn make_readable(message: &[u8]) -> Option<Vec<u8>> {
    let count: [u8; 2] = message.get(5..7)?.try_into().ok()?;
    let mut rest = message.get(7..)?;
    let mut body = count.to_vec();
    let mut is_readable = true;
    for _ in 0..u16::from_be_bytes(count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = rest.get(..end)?;
        is_readable &= std::str::from_utf8(name).is_ok();
        body.extend_from_slice(String::from_utf8_lossy(name).as_bytes());
        body.extend_from_slice(rest.get(end..=end + DESCRIPTION)?);
        rest = rest.get(end + 1 + DESCRIPTION..)?;
    }
    if is_readable || !rest.is_empty() {
        return None;
    }
    let length = u32::try_from(body.len() + 4).ok()?;
    Some([&b"T"[..], &length.to_be_bytes(), &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_utf8_and_what_stands_beside_them_stays() {
        let message = |name: &[u8]| {
            let body = [&[0, 2][..], name, &[0], &[7; DESCRIPTION], b"b\0", &[9; DESCRIPTION]].concat();
            let length = u32::try_from(body.len() + 4).unwrap();
            [&b"T"[..], &length.to_be_bytes(), &body].concat()
        };
        assert_eq!(make_readable(&message("größe".as_bytes())), None);
        assert_eq!(make_readable(&message(b"gr\xf6\xdfe")), Some(message("gr\u{fffd}\u{fffd}e".as_bytes())));
        let whole = message(b"\xff");
        for length in 0..whole.len() {
            assert_eq!(make_readable(&whole[..length]), None);
        }
    }
}
