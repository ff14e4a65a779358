//! The App Service Environment as Azure Resource Manager shows it: the resource, what it depends on, its addresses, and
//! errors.
//!
//! Shapes and facts alone: nobody is asked and nothing is tried here. Field names and their order are those of the REST
//! specification (azure-rest-api-specs, Microsoft.Web) and of its samples; where versions differ, [`ApiVersion`] says how.
//! What a topology does not know (sizes, counts of front ends) is left out, as optional properties may be.

mod addresses;
mod dependencies;
mod endpoints;
mod error;
mod log;
mod outbound;
mod resource;
mod version;

pub use addresses::{Addresses, VirtualIpMapping};
pub use dependencies::{Category, Dependencies, Dependency, Way, Workers};
pub use endpoints::{
    ALL_DEPENDENCIES, EndpointDependency, EndpointDetail, InboundEndpoint, InboundEnvironmentEndpointCollection,
    OutboundEndpoint, OutboundEnvironmentEndpointCollection, inbound,
};
pub use error::{ArmError, ErrorBody};
pub use log::{PlatformEvent, PlatformRecord, platform_record};
pub use outbound::Outbound;
pub use resource::{
    Asked, Collection, HostingEnvironment, LastCheck, Networking, NetworkingProperties, ResourceId, environment,
    networking,
};
pub use version::{API_VERSIONS, AddressShape, ApiVersion, OutboundShape};
