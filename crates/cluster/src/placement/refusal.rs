//! Meaning of the cluster's refusals. Authorization, admission, quota and limit ranges share status codes, so the
//! messages decide.

use super::PlaceError;
use super::resources::Demands;
use crate::permissions;
use slipway_api_server::request::ApiError;

/// Converts the error of a request to the error of placing a pod that meets these demands.
pub(super) fn of(error: ApiError, namespace: &str, demands: &Demands) -> PlaceError {
    match error {
        ApiError::Forbidden { access, .. } => PlaceError::Forbidden {
            access,
            role: permissions::grant_yaml(namespace),
        },
        ApiError::NotFound { .. } => PlaceError::NamespaceMissing {
            namespace: namespace.to_owned(),
        },
        ApiError::Refused {
            status: 400 | 403 | 422,
            message,
            ..
        } => of_message(message, namespace, demands),
        ApiError::Resolve { .. }
        | ApiError::Connect { .. }
        | ApiError::Timeout { .. }
        | ApiError::Certificate { .. }
        | ApiError::Tls { .. }
        | ApiError::Proxy { .. }
        | ApiError::Credentials { .. }
        | ApiError::Plugin { .. }
        | ApiError::Secret(_)
        | ApiError::Refused { .. }
        | ApiError::Broken { .. } => PlaceError::Api(error),
    }
}

/// Converts the message of a refusal: of a request, or in the Job controller's `FailedCreate` event.
pub(super) fn of_message(message: String, namespace: &str, demands: &Demands) -> PlaceError {
    let says = |words: &str| message.contains(words);
    if says("exceeded quota") || says("failed quota") {
        return PlaceError::Quota {
            message,
            asked: demands.in_words(),
        };
    }
    // `plugin/pkg/admission/limitranger`: "minimum cpu usage per Container is 100m, but request is 10m".
    if says(" usage per ") || says("limit to request ratio per") {
        return PlaceError::LimitRange { message };
    }
    if says("because it is being terminated") {
        return PlaceError::NamespaceEnding {
            namespace: namespace.to_owned(),
        };
    }
    PlaceError::Admission { message }
}
