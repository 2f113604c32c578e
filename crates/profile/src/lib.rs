//! What a user saved: which cluster, namespace, method and extra hosts.
