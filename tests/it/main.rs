//! The integration tests: over real HTTP, on a real Redis, with real processes. One module a promise.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test that cannot go on panics")]

mod attempts;
mod bad_input;
mod bench;
mod bounds;
mod cancel;
mod cancel_command;
mod cancel_running;
mod command_line;
mod configuration;
mod content;
mod delayed;
mod earlier_version;
mod endpoints;
mod errors;
mod health;
mod integration_routes;
mod large_jobs;
mod large_results;
mod leases;
mod lifecycle;
mod media_stream;
mod operator;
mod ops_listener;
mod pieces;
mod providers;
mod python_sdk;
mod redis_cluster;
mod redis_errors;
mod refusals;
mod reliability;
mod repair;
mod sentinel;
mod shards;
mod slow_clients;
mod submit_command;
mod targets;
mod upload_faults;
mod uploads;
mod upstreams;
mod virtual_keys;
mod webhook_slots;
mod workers;
