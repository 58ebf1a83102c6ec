//! Forgets pages of the program's files that are no longer used.
//!
//! Each page of the program and of its drivers that was ever touched counts as the process's memory, with its
//! neighbours; most of them only the start touched. The kernel keeps them in its cache of files all the same, so that a
//! page that is used after all is there again within a microsecond.

use std::{fs, ops::Range};

/// Begins the names of the program and of its drivers' private copies.
const OURS: &str = "/studio-";

/// The mappings of those files that nothing was written to and nothing can be. They stay as they are as long as the
/// process lives: no driver is ever unloaded.
pub(super) struct FilePages(Vec<Range<usize>>);

impl FilePages {
    /// Finds those that are there now. Call it while no driver is being loaded.
    pub(super) fn find() -> Self {
        Self(fs::read_to_string("/proc/self/smaps").map_or_else(|_| Vec::new(), |maps| read(&maps, OURS)))
    }

    /// Forgets their pages.
    pub(super) fn forget(&self) {
        for Range { start, end } in &self.0 {
            // SAFETY: this is a mapping of a file that holds no page of the process's own, so that each page is read
            // from the file again when it is next used.
            #[allow(unsafe_code)]
            unsafe {
                libc::madvise(*start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
}

/// Reads, from proc(5)'s list of mappings, those of files with such a name that are only read and are as the file is.
fn read(maps: &str, name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            // The line with which a mapping begins; the others are `Name: value`.
            (Some(range), Some(access)) if !range.ends_with(':') => {
                let is_ours = matches!(access, "r-xp" | "r--p") && line.contains(name);
                mapping = is_ours.then(|| parse(range)).flatten();
            }
            (Some("Anonymous:"), Some("0")) => found.extend(mapping.take()),
            _ => {}
        }
    }
    found
}

fn parse(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::fd::AsRawFd, slice};

    const SIZE: usize = 2 << 20;

    /// Maps a file privately, and writes its first byte where it is to be changed.
    #[allow(unsafe_code)]
    fn map(file: &fs::File, changed: bool) -> &'static [u8] {
        // SAFETY: the mapping is new, of this length, and stays; it is written to before anyone has it.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let start =
                libc::mmap(std::ptr::null_mut(), SIZE, access, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
            assert_ne!(start, libc::MAP_FAILED);
            if changed {
                start.cast::<u8>().write(b'c');
            }
            assert_eq!(libc::mprotect(start, SIZE, libc::PROT_READ), 0);
            slice::from_raw_parts(start.cast(), SIZE)
        }
    }

    /// Counts the kibibytes of a mapping that the process has.
    fn resident(mapping: &[u8]) -> usize {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let lines =
            maps.lines().skip_while(|line| !line.starts_with(&format!("{:x}-", mapping.as_ptr() as usize)));
        let line = lines.skip(1).find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn pages_of_files_are_forgotten_unless_they_were_changed() {
        let mut file = tempfile::Builder::new().prefix("studio-test-").tempfile().unwrap();
        file.write_all(&vec![b'a'; SIZE]).unwrap();
        let (clean, changed) = (map(file.as_file(), false), map(file.as_file(), true));
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let sums = (sum(clean), sum(changed));
        assert_eq!((resident(clean), resident(changed)), (SIZE >> 10, SIZE >> 10));
        FilePages::find().forget();
        assert_eq!((resident(clean), resident(changed)), (0, SIZE >> 10));
        assert_eq!((sum(clean), sum(changed)), sums);
        assert_eq!((clean[0], changed[0]), (b'a', b'c'));
    }

    #[test]
    fn only_mappings_that_stay_as_the_file_is_are_found() {
        let maps = "\
1000-3000 r-xp 00000000 fe:00 1 /bin/studio-gateway
Rss:  8 kB
Anonymous:             0 kB
3000-4000 r--p 00002000 fe:00 1 /bin/studio-gateway
Anonymous:             4 kB
4000-5000 rw-p 00003000 fe:00 1 /bin/studio-gateway
Anonymous:             0 kB
5000-6000 r-xp 00000000 fe:00 2 /lib/libc.so.6
Anonymous:             0 kB
6000-8000 r--p 00000000 fe:00 3 /tmp/studio-driver-abc.so (deleted)
Anonymous:             0 kB
8000-9000 rw-p 00000000 00:00 0 [heap]
Anonymous:             4 kB
";
        assert_eq!(read(maps, OURS), [0x1000..0x3000, 0x6000..0x8000]);
    }
}
