//! Explainer of names: why a name answers as it does in a running method.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_names::{Asks, Explanation, Finding, Name, Resolver};

/// Explains names. Every wait is limited by the resolver.
pub trait Explainer: Send + Sync {
    /// Asks both sides about a name that a program may be given, now, and says why it answers as it does.
    fn explain<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation>;

    /// The same for a name that ends in a dot: no search domain is put behind it (resolv.conf(5)).
    fn explain_whole<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation>;

    /// What the cluster says about exactly this name, now; `None` if there is nobody to ask.
    fn in_cluster<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Option<Finding>>;

    /// Answers a question of another session, as [`Resolver::answer_neighbor`].
    fn answer_neighbor(&self, query: Bytes) -> BoxFuture<'_, Option<Bytes>>;
}

impl<A: Asks> Explainer for Resolver<A> {
    fn explain<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation> {
        Resolver::explain(self, name).boxed()
    }

    fn explain_whole<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation> {
        Resolver::explain_whole(self, name).boxed()
    }

    fn in_cluster<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Option<Finding>> {
        Resolver::in_cluster(self, name).boxed()
    }

    fn answer_neighbor(&self, query: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        Resolver::answer_neighbor(self, query).boxed()
    }
}
