//! The far end of the tunnel, in the cluster.

fn main() {}
