//! Explainer of names: why a name has its answer in a running method.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_names::{Asks, Explanation, Finding, Name, Resolver};

/// Explainer of names. The resolver limits every wait.
pub trait Explainer: Send + Sync {
    /// Asks cluster and laptop about a name as a program would write it, and explains its answer.
    fn explain<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation>;

    /// Explains a name that ends in a dot, to which no search domain is appended (resolv.conf(5)).
    fn explain_whole<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Explanation>;

    /// Asks the cluster about exactly this name. `None` if there is no agent to ask.
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
