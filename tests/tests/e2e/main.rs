//! The built gateway, end to end. One test program for all of it, so that it links once.

// This is test code: to panic with a message is how it reports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// Makes two tests of each of these functions, one for each registry.
macro_rules! on_both_registries {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(studio_gateway_tests::Registry::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(studio_gateway_tests::Registry::Postgres).await;
            })+
        }
    };
}

/// Makes two tests of each of these functions, one for each form of the Redis driver.
macro_rules! on_both_kinds {
    ($($name:ident),+ $(,)?) => {
        mod library {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(studio_gateway_tests::RedisDriver::Library).await;
            })+
        }
        mod component {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(studio_gateway_tests::RedisDriver::Component).await;
            })+
        }
    };
}

mod aliases;
mod browser;
mod browser_leaving;
/// The generator of the driver's own tests.
#[path = "../../../plugins/mongodb/src/ejson/tests/arbitrary.rs"]
mod bson_documents;
mod budgets;
mod busy_databases;
mod cache;
mod cache_consistency;
mod cache_history;
mod cache_mongodb;
mod cache_races;
mod command_line;
mod components;
mod connection_rules;
mod connection_strings;
mod connections;
mod deep_secrets;
mod driver_authors;
mod durability;
mod exclusive_sessions;
mod hang_ups;
mod harness;
mod health;
mod http;
mod http_edges;
mod identity;
mod isolation;
mod logging;
mod membership;
mod memcached;
mod memcached_connections;
mod memcached_hostile;
mod mongodb_access;
mod mongodb_aggregate;
mod mongodb_cancellation;
mod mongodb_collections;
mod mongodb_connections;
mod mongodb_documents;
mod mongodb_faults;
mod mongodb_greedy;
mod mongodb_guard;
mod mongodb_hostile;
mod mongodb_hostile_memory;
mod mongodb_ids;
mod mongodb_inserts;
mod mongodb_limits;
mod mongodb_network;
mod mongodb_odd_bytes;
mod mongodb_outcomes;
mod mongodb_replacing;
mod mongodb_server_sessions;
mod mongodb_structure;
mod mongodb_types;
mod mongodb_updates;
mod neighbours;
mod object_bodies;
mod own_threads;
mod plugins;
mod postgres_admin_statements;
mod postgres_after_commit;
mod postgres_calls;
mod postgres_connection_strings;
mod postgres_connections;
mod postgres_deparse;
mod postgres_differential_beyond;
mod postgres_differential_bodies;
mod postgres_differential_lenient;
mod postgres_differential_objects;
mod postgres_differential_query;
mod postgres_differential_reads;
mod postgres_differential_shapes;
mod postgres_differential_studio;
mod postgres_differential_tables;
mod postgres_differential_texts;
mod postgres_differential_truth;
mod postgres_faults;
mod postgres_generator_bounds;
mod postgres_guard_questions;
mod postgres_harness;
mod postgres_hostile;
mod postgres_hostile_servers;
mod postgres_lists;
mod postgres_meta_callers;
mod postgres_named_databases;
mod postgres_parser_bounds;
mod postgres_pool;
mod postgres_read_only;
mod postgres_read_only_doors;
mod postgres_sessions;
mod postgres_shapes;
mod postgres_structure;
mod probe;
mod project_databases;
mod projects;
mod published_keys;
mod rate_limits;
mod redis_commands;
mod redis_connections;
mod redis_field;
mod redis_hostile;
mod redis_hostile_clusters;
mod redis_keys;
mod redis_names;
mod redis_replacing;
mod redis_replacing_faults;
mod redis_rights;
mod redis_sizes;
mod redis_valkey;
mod redis_write_rights;
mod redis_writes;
mod refused_uploads;
mod registry_faults;
mod rivals;
mod sandbox;
mod sandbox_cache;
mod sandbox_guests;
mod sandbox_load;
mod sandbox_neighbours;
mod sandbox_network;
mod secrets;
mod security_page;
mod session_caps;
mod sessions;
mod shutdown;
mod slow_clients;
mod studio_database;
mod studio_database_rights;
mod warm_requests;
mod watching;
mod worst_callers;
