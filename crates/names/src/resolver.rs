//! The resolver.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::asks::Asks;
use crate::event::Observer;
use crate::explain::Explanation;
use crate::name::Name;
use crate::scope::Scope;

/// How a query came, which bounds the size of its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// In a datagram: a longer answer is cut and marked so.
    Udp,
    /// In a stream: any length.
    Tcp,
}

/// Answers questions.
pub struct Resolver<A> {
    inner: Arc<Inner<A>>,
}

struct Inner<A> {
    asks: A,
    observer: Observer,
}
