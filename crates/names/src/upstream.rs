//! The laptop's own name servers.
