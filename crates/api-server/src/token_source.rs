//! Source of a token outside the kubeconfig.

use std::fmt;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use slipway_problem::Problem;

/// Source of a token that stands in no kubeconfig, such as a keyring.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// Returns the token, within a limited time. Asked again when the API server refuses the last one.
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Problem>>;
}
