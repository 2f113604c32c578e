//! Existence of a namespace, asked with whatever permission there is.

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;

use slipway_api_server::similar;

use crate::list;
use slipway_api_server::request::{Access, ApiError, ask};

/// State of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceState {
    /// It exists.
    Exists,
    /// It is being deleted.
    Ending,
    /// It does not exist.
    Missing {
        /// An existing namespace of a similar name, where namespaces may be listed.
        near: Option<String>,
    },
}

/// Asks whether a namespace exists.
///
/// # Errors
/// Returns [`ApiError::Forbidden`] if the user may neither list namespaces nor read this one; then it is not known.
pub async fn look(client: &Client, name: &str) -> Result<NamespaceState, ApiError> {
    let state = |is_ending: bool| {
        if is_ending {
            NamespaceState::Ending
        } else {
            NamespaceState::Exists
        }
    };
    match list::namespaces(client).await {
        Ok(listed) => Ok(match listed.iter().find(|one| one.name == name) {
            Some(found) => state(found.ending),
            None => NamespaceState::Missing {
                near: similar::nearest(name, listed.iter().map(|one| one.name.as_str())),
            },
        }),
        Err(ApiError::Forbidden { .. }) => {
            let api: Api<Namespace> = Api::all(client.clone());
            let found = ask(Access::cluster("get", "", "namespaces"), api.get_opt(name)).await?;
            Ok(found.map_or(NamespaceState::Missing { near: None }, |found| {
                state(found.metadata.deletion_timestamp.is_some())
            }))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use slipway_scripted_api::{Script, failure, list, rbac};

    const ALL: &str = "/api/v1/namespaces";

    fn namespace(name: &str) -> serde_json::Value {
        json!({"metadata": {"name": name}})
    }

    #[tokio::test]
    async fn a_missing_namespace_has_a_similar_one() {
        let ending = json!({"metadata": {"name": "old", "deletionTimestamp": "2026-03-01T12:00:00Z"}});
        let script = Script::new().on(
            "GET",
            ALL,
            200,
            list("NamespaceList", "v1", &[namespace("shop"), ending]),
        );
        let client = script.client();
        assert_eq!(look(&client, "shop").await.unwrap(), NamespaceState::Exists);
        assert_eq!(look(&client, "old").await.unwrap(), NamespaceState::Ending);
        let near = Some("shop".to_owned());
        assert_eq!(
            look(&client, "shpo").await.unwrap(),
            NamespaceState::Missing { near }
        );
    }

    #[tokio::test]
    async fn a_namespace_that_cannot_be_listed_is_asked_for_by_name() {
        let script = Script::new()
            .on("GET", ALL, 403, rbac("list", "namespaces", "", ""))
            .on("GET", "/api/v1/namespaces/shop", 200, namespace("shop"))
            .on(
                "GET",
                "/api/v1/namespaces/shpo",
                404,
                failure(404, "NotFound", "not found"),
            )
            .on(
                "GET",
                "/api/v1/namespaces/dev",
                403,
                rbac("get", "namespaces", "", "dev"),
            );
        let client = script.client();
        assert_eq!(look(&client, "shop").await.unwrap(), NamespaceState::Exists);
        assert_eq!(
            look(&client, "shpo").await.unwrap(),
            NamespaceState::Missing { near: None }
        );
        let error = look(&client, "dev").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "you may not get namespaces in the whole cluster"
        );
    }
}
