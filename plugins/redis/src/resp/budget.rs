//! What the replies to one call may cost.

/// For what the driver asks on its own behalf: the longest is the list of all commands, with those of modules.
pub(crate) const OWN_ANSWERS: u64 = 16 << 20;
/// Beside each value, however short it is: about what it takes in memory.
const VALUE: u64 = 96;
/// Lengths, line ends and whatever else is no part of a result.
const FRAMING: u64 = 64 << 10;
/// So far beyond its bound a reply is passed over for the sake of those who wait behind it.
const PASSED_OVER: u64 = 256 << 20;

/// Bytes that a server sends, counted as they are announced or come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    most: u64,
    spent: u64,
    /// With what was announced and has not come.
    announced: u64,
}

impl Budget {
    /// Room for a result of so many bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { most: most.saturating_add(FRAMING), spent: 0, announced: 0 }
    }

    /// Whether more was sent or announced than there is room for.
    pub(crate) fn is_over(&self) -> bool {
        self.announced > self.most
    }

    /// Whether that is so much more that nobody should wait for its end.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.announced > self.most.saturating_add(PASSED_OVER)
    }

    /// So many bytes came, or will for certain.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
        self.announced = self.announced.max(self.spent);
    }

    /// A value begins.
    pub(super) fn begin_value(&mut self) {
        self.spend(VALUE);
    }

    /// So many values are to follow.
    pub(super) fn announce_values(&mut self, count: u64) {
        self.announced = self.announced.max(self.spent.saturating_add(count.saturating_mul(VALUE)));
    }
}
