//! `AppServiceEnvironmentPlatformLogs`: what the platform says of an environment.
//!
//! The messages are in other words those of Use an App Service Environment (2020). What envelope they come in was not
//! found: it is taken to be that of other diagnostic logs, with the message as `ResultDescription`.

use std::sync::Arc;

use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformEvent<'a> {
    Healthy,
    Unhealthy {
        /// What it does not reach, `login.windows.net:443`.
        unreachable: &'a [Arc<str>],
    },
    Suspended,
    SuspendedOnRequest,
}

impl PlatformEvent<'_> {
    /// For people.
    pub fn message(&self) -> String {
        match self {
            PlatformEvent::Healthy => "The App Service Environment is healthy.".to_owned(),
            PlatformEvent::Unhealthy { unreachable: [] } => UNHEALTHY.to_owned(),
            PlatformEvent::Unhealthy { unreachable } => {
                format!("{UNHEALTHY} It does not reach {}.", unreachable.join(", "))
            }
            PlatformEvent::Suspended => {
                "The App Service Environment is suspended: its virtual network is not set up as it has to be."
                    .to_owned()
            }
            PlatformEvent::SuspendedOnRequest => {
                "The App Service Environment is suspended: it was asked for.".to_owned()
            }
        }
    }
}

const UNHEALTHY: &str = "The App Service Environment is unhealthy, as its virtual network is not set up as it has to be; \
                         it will be suspended where that goes on.";

/// A record of the category.
#[derive(Debug, Serialize)]
pub struct PlatformRecord<'a> {
    category: &'static str,
    time: &'a str,
    #[serde(rename = "resourceId")]
    resource_id: String,
    properties: PlatformProperties,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PlatformProperties {
    result_description: String,
}

/// `time` is RFC 3339 in UTC with seven digits after the second.
pub fn platform_record<'a>(event: &PlatformEvent<'_>, time: &'a str, resource_id: &str) -> PlatformRecord<'a> {
    PlatformRecord {
        category: "AppServiceEnvironmentPlatformLogs",
        time,
        resource_id: resource_id.to_ascii_uppercase(),
        properties: PlatformProperties { result_description: event.message() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record() {
        let event = PlatformEvent::Unhealthy { unreachable: &["login.windows.net:443".into(), "udp/53".into()] };
        let record = platform_record(&event, "2026-11-22T08:00:00.0000000Z", "/subscriptions/s");
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            concat!(
                r#"{"category":"AppServiceEnvironmentPlatformLogs","time":"2026-11-22T08:00:00.0000000Z","#,
                r#""resourceId":"/SUBSCRIPTIONS/S","properties":{"ResultDescription":"The App Service Environment is unhealthy, "#,
                r#"as its virtual network is not set up as it has to be; it will be suspended where that goes on. "#,
                r#"It does not reach login.windows.net:443, udp/53."}}"#
            )
        );
    }
}
