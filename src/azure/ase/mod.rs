//! The App Service Environment as Azure Resource Manager shows it: the resource, what it depends on, its addresses, and
//! errors.
//!
//! Shapes and facts alone: nobody is asked and nothing is tried here. Field names and their order are those of the REST
//! specification (azure-rest-api-specs, Microsoft.Web, 2018-02-01 to 2021-01-15) and of its samples. What a topology does
//! not know (sizes, counts of front ends) is left out, as optional properties may be.

mod addresses;
mod dependencies;
mod endpoints;
mod error;
mod log;
mod resource;

pub use addresses::{AddressResponse, VirtualIpMapping};
pub use dependencies::{Category, Dependencies, Dependency, Workers};
pub use endpoints::{
    EndpointDependency, EndpointDetail, InboundEndpoint, InboundEnvironmentEndpointCollection, OutboundEndpoint,
    OutboundEnvironmentEndpointCollection, inbound,
};
pub use error::{ArmError, ErrorBody};
pub use log::{PlatformEvent, PlatformRecord, platform_record};
pub use resource::{
    Collection, HostingEnvironment, Networking, NetworkingProperties, ResourceId, environment, networking,
};

/// Versions whose specification has both dependency APIs, or whose names were seen in later specifications and SDKs;
/// 2016-09-01 because the documents write it (App Service Environment management addresses, ms.date 10/24/2022).
pub const API_VERSIONS: [&str; 14] = [
    "2016-09-01",
    "2018-02-01",
    "2019-08-01",
    "2020-06-01",
    "2020-09-01",
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-01-15",
    "2021-03-01",
    "2023-01-01",
    "2024-11-01",
    "2025-03-01",
    "2025-05-01",
];
