//! All targets by their names, which their folders in `corpus/` have too.

use crate::{connections, documents, identity, plugins, requests, servers, sql};

/// Takes an input.
pub(crate) type Target = fn(&[u8]);

/// All targets.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    // Those that take longest begin first.
    ("redis", servers::redis),
    ("postgres", servers::postgres),
    ("memcached", servers::memcached),
    ("bson", documents::bson),
    ("connection_strings", connections::connection_strings),
    ("cors", requests::cors),
    ("ejson", documents::ejson),
    ("forwarded", requests::forwarded),
    ("guest_values", plugins::guest_values),
    ("jwks", identity::jwks),
    ("manifest", plugins::manifest),
    ("mongodb_guard", documents::guard),
    ("mongodb_messages", servers::mongodb_messages),
    ("nesting", requests::nesting),
    ("paths", requests::paths),
    ("postgres_values", sql::values),
    ("query", requests::query),
    ("resp", servers::resp),
    ("schemas", plugins::schemas),
    ("sealed_strings", connections::sealed_strings),
    ("settings", plugins::settings),
    ("sql_deparse", sql::deparse),
    ("sql_guard", sql::guard),
    ("sql_parse", sql::parse),
    ("tokens", identity::tokens),
];
