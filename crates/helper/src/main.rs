//! The privileged helper: TUN, routes and DNS for a session.

fn main() {}
