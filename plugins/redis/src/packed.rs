//! Commands as they are sent.
//!
//! The `redis` crate's commands and pipelines keep their words apart, and copy all of them once more to be sent. What
//! every other request asks is written in the protocol's bytes at once.

use redis::{Cmd, Pipeline};

const LINE_END: &[u8] = b"\r\n";
/// Bytes around a short word, and around the words of a short command.
const AROUND: usize = 8;

/// Commands, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    count: usize,
}

impl Packed {
    /// No commands, and room for so many, whose words have so many bytes together.
    pub(crate) fn with_room(commands: usize, words: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity((commands + words) * AROUND + bytes), count: 0 }
    }

    /// Adds a command.
    pub(crate) fn add<const WORDS: usize>(&mut self, words: [&[u8]; WORDS]) {
        self.begin(WORDS);
        words.into_iter().for_each(|word| self.add_word(word));
    }

    /// Begins a command, of which so many words are added one by one.
    pub(crate) fn begin(&mut self, words: usize) {
        self.add_head(b'*', words);
        self.count += 1;
    }

    /// Adds a word to the command that was begun last.
    pub(crate) fn add_word(&mut self, word: &[u8]) {
        self.add_head(b'$', word.len());
        self.bytes.reserve(word.len() + LINE_END.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(LINE_END);
    }

    /// Adds a command of the client library.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn add_command(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.bytes);
        self.count += 1;
    }

    fn add_head(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(LINE_END);
    }

    /// Adds a command's bytes as they are.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn add_packed(&mut self, command: &[u8]) {
        self.bytes.extend_from_slice(command);
        self.count += 1;
    }

    /// Answers how many commands there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Walks over the commands, each in its bytes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn commands(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let mut words = Words::new(rest)?;
            words.by_ref().for_each(drop);
            rest.split_off(..rest.len() - words.rest.len())
        })
    }

    /// Walks over the words of the first command.
    pub(crate) fn words(&self) -> Words<'_> {
        Words::new(&self.bytes).unwrap_or_default()
    }

    /// Finds a word of the first command; empty where it has no such word.
    pub(crate) fn word(&self, place: usize) -> &[u8] {
        self.words().nth(place).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl From<&Cmd> for Packed {
    fn from(command: &Cmd) -> Self {
        Self { bytes: command.get_packed_command(), count: 1 }
    }
}

impl From<&Pipeline> for Packed {
    fn from(pipeline: &Pipeline) -> Self {
        Self { bytes: pipeline.get_packed_pipeline(), count: pipeline.len() }
    }
}

/// The words of a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Words<'a> {
    fn new(command: &'a [u8]) -> Option<Self> {
        let mut rest = command;
        let left = read_head(&mut rest)?;
        Some(Self { rest, left })
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let length = read_head(&mut self.rest)?;
        let word = self.rest.split_off(..length)?;
        self.rest.split_off(..LINE_END.len())?;
        Some(word)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Words<'_> {}

/// Reads a kind, a number and a line end, as [`Packed`] writes them.
fn read_head(bytes: &mut &[u8]) -> Option<usize> {
    let (_kind, digits) = bytes.split_first()?;
    let length = digits.iter().position(|byte| *byte == b'\r')?;
    let (digits, rest) = digits.split_at(length);
    *bytes = rest.get(LINE_END.len()..)?;
    digits.iter().try_fold(0_usize, |number, digit| {
        number.checked_mul(10)?.checked_add(usize::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use redis::cmd;

    /// A command out of words with a space between.
    pub(crate) fn packed(line: &str) -> Packed {
        let mut packed = Packed::default();
        packed.begin(line.split(' ').count());
        line.split(' ').for_each(|word| packed.add_word(word.as_bytes()));
        packed
    }

    fn commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        vec(vec(vec(any::<u8>(), 0..120), 1..12), 0..6)
    }

    proptest! {
        #[test]
        fn commands_are_packed_as_the_client_library_does(commands in commands()) {
            let (mut packed, mut pipeline) = (Packed::default(), Pipeline::new());
            for words in &commands {
                packed.begin(words.len());
                words.iter().for_each(|word| packed.add_word(word));
                let mut command = Cmd::new();
                command.arg(words);
                pipeline.add_command(command);
            }
            prop_assert_eq!(&packed, &Packed::from(&pipeline));
        }

        #[test]
        fn words_and_commands_come_back_from_their_bytes(commands in commands()) {
            let mut packed = Packed::default();
            for words in &commands {
                packed.begin(words.len());
                words.iter().for_each(|word| packed.add_word(word));
            }
            let read: Vec<Vec<&[u8]>> = packed
                .commands()
                .map(|command| Words::new(command).unwrap().collect())
                .collect();
            prop_assert_eq!(&read, &commands);
            prop_assert_eq!(packed.commands().collect::<Vec<_>>().concat(), packed.as_bytes());
            let first = commands.first().cloned().unwrap_or_default();
            prop_assert_eq!(packed.words().len(), first.len());
            prop_assert_eq!(packed.word(1), first.get(1).map_or(&[][..], Vec::as_slice));
        }
    }

    #[test]
    fn commands_of_both_kinds_stand_together() {
        let mut packed = Packed::with_room(2, 4, 20);
        packed.add([b"TYPE", b"k"]);
        packed.add_command(cmd("PTTL").arg("k"));
        assert_eq!(packed.len(), 2);
        assert_eq!(packed.as_bytes(), b"*2\r\n$4\r\nTYPE\r\n$1\r\nk\r\n*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n");
        let only = Packed::from(&*cmd("PTTL").arg("k"));
        assert_eq!(packed.commands().nth(1), Some(only.as_bytes()));
        assert_eq!((Packed::default().words().len(), Packed::default().word(0)), (0, &[][..]));
    }
}
