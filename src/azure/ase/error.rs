//! Errors as Azure Resource Manager answers them: a code, a message and a status.

use serde::{Deserialize, Serialize};

/// `{"error": {"code": "…", "message": "…"}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    pub code: String,
    pub message: String,
}

/// Why a request is not answered. The codes are Resource Manager's, the words mostly Egret's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    #[error("the request carries no bearer token, or not the one that is wanted: give `Authorization: Bearer …`")]
    AuthenticationFailed,
    #[error("the subscription '{0}' could not be found: the topology has another")]
    SubscriptionNotFound(String),
    #[error("the resource group '{0}' could not be found: the topology has another")]
    ResourceGroupNotFound(String),
    /// Type and name, resource group.
    #[error("the resource '{0}' under the resource group '{1}' was not found")]
    ResourceNotFound(String, String),
    #[error("there is nothing at this path")]
    InvalidResourcePath,
    #[error("the query parameter api-version (?api-version=) is required for every request")]
    MissingApiVersionParameter,
    /// What was given, what is known.
    #[error("the api-version '{0}' is invalid; supported are '{1}'")]
    InvalidApiVersionParameter(String, String),
    #[error("this path takes {0}")]
    MethodNotAllowed(&'static str),
    #[error("the body is not what this path takes: {0}")]
    InvalidRequestContent(String),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("the body took longer than 10 s")]
    RequestTimeout,
    #[error("the body is larger than 64 KiB")]
    RequestTooLarge,
    #[error("{0}")]
    Conflict(String),
}

impl ArmError {
    pub fn code(&self) -> &'static str {
        match self {
            ArmError::AuthenticationFailed => "AuthenticationFailed",
            ArmError::SubscriptionNotFound(_) => "SubscriptionNotFound",
            ArmError::ResourceGroupNotFound(_) => "ResourceGroupNotFound",
            ArmError::ResourceNotFound(..) => "ResourceNotFound",
            ArmError::InvalidResourcePath => "InvalidResourceType",
            ArmError::MissingApiVersionParameter => "MissingApiVersionParameter",
            ArmError::InvalidApiVersionParameter(..) => "InvalidApiVersionParameter",
            ArmError::MethodNotAllowed(_) => "MethodNotAllowed",
            ArmError::InvalidRequestContent(_) => "InvalidRequestContent",
            ArmError::InvalidParameter(_) => "InvalidParameter",
            ArmError::RequestTimeout => "RequestTimeout",
            ArmError::RequestTooLarge => "RequestEntityTooLarge",
            ArmError::Conflict(_) => "Conflict",
        }
    }

    /// Of HTTP.
    pub fn status(&self) -> u16 {
        match self {
            ArmError::AuthenticationFailed => 401,
            ArmError::SubscriptionNotFound(_)
            | ArmError::ResourceGroupNotFound(_)
            | ArmError::ResourceNotFound(..)
            | ArmError::InvalidResourcePath => 404,
            ArmError::MissingApiVersionParameter
            | ArmError::InvalidApiVersionParameter(..)
            | ArmError::InvalidRequestContent(_)
            | ArmError::InvalidParameter(_) => 400,
            ArmError::MethodNotAllowed(_) => 405,
            ArmError::RequestTimeout => 408,
            ArmError::RequestTooLarge => 413,
            ArmError::Conflict(_) => 409,
        }
    }

    pub fn body(&self) -> ErrorBody {
        ErrorBody { error: ErrorDetail { code: self.code().to_owned(), message: self.to_string() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_an_error() {
        let missing = ArmError::ResourceNotFound("Microsoft.Web/hostingEnvironments/x".into(), "lab".into());
        assert_eq!(
            serde_json::to_string(&missing.body()).unwrap(),
            r#"{"error":{"code":"ResourceNotFound","message":"the resource 'Microsoft.Web/hostingEnvironments/x' under the resource group 'lab' was not found"}}"#
        );
        assert_eq!((missing.status(), ArmError::AuthenticationFailed.status()), (404, 401));
    }
}
