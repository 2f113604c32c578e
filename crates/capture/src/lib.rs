//! Packets of a TUN to streams, through a private network namespace.
