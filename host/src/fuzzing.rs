//! Ways in for the fuzz targets (`fuzz/`), which see nothing else of this crate's inside.

pub use crate::flow::fuzzing::{is_deeper_than, read_query, take_selector};
pub use crate::http::fuzzing::{Pages, client_address};
pub use crate::identity::fuzzing::count_keys;
pub use crate::plugins::fuzzing::{
    Paths, check_manifest, check_value, read_guest_error, read_guest_facts, read_guest_settings,
};
