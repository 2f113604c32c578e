//! Clusters and laptops that do not take a session as it is: commands that fail report cause and remedy in time, and
//! leave nothing on the laptop or in the cluster; what Slipway can comply with makes no command fail.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and prints figures"
)]

mod api_server;
mod doctor;
mod kubeconfig;
mod laptop;
mod other_helper;
mod placing;
mod room;
mod rules;
mod support;
mod waiting;
