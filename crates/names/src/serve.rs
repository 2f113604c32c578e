//! Serving sockets.
