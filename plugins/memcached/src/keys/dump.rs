//! The lines of `lru_crawler metadump`.

use percent_encoding::percent_decode;

/// What the server's crawler tells of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: Vec<u8>,
    /// When it expires, in Unix time of the server's clock; −1: never.
    pub(crate) expires: i64,
    /// When it was last used, in Unix time of the server's clock.
    pub(crate) last_access: i64,
    pub(crate) cas: u64,
    /// Whether it was read since it was stored.
    pub(crate) fetched: bool,
    pub(crate) slab_class: u32,
    /// Bytes of the whole item: key, value and header.
    pub(crate) size: u64,
}

impl Item {
    /// Reads `key=a%20b exp=-1 la=1700000000 cas=7 fetch=no cls=1 size=67`. Later servers may tell more.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let find = |name: &str| {
            let mut words = line.split(' ');
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            key: percent_decode(find("key")?.as_bytes()).collect(),
            expires: find("exp")?.parse().ok()?,
            last_access: find("la")?.parse().ok()?,
            cas: find("cas")?.parse().ok()?,
            fetched: find("fetch")? == "yes",
            slab_class: find("cls")?.parse().ok()?,
            size: find("size")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = b"key=%FF%00%20a exp=-1 la=1795374015 cas=3 fetch=yes cls=1 size=71 flags=0";
        let expected = Item {
            key: b"\xFF\0 a".to_vec(),
            expires: -1,
            last_access: 1_795_374_015,
            cas: 3,
            fetched: true,
            slab_class: 1,
            size: 71,
        };
        assert_eq!(Item::parse(line), Some(expected));
        for bad in
            [b"key=a exp=-1".as_slice(), b"", b"key=a exp=x la=1 cas=3 fetch=yes cls=1 size=71", b"\xFF"]
        {
            assert_eq!(Item::parse(bad), None);
        }
    }
}
