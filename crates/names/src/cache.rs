//! What the cluster answered lately.
