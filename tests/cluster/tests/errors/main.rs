//! What cannot be connected says why and what to do, in time, and leaves nothing: on the laptop, or in the cluster.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and a figure is worth seeing"
)]

mod api_server;
mod doctor;
mod kubeconfig;
mod laptop;
mod other_helper;
mod placing;
mod room;
mod support;
