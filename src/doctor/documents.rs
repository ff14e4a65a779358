//! The documents that rules rest on, each with the date that its own header gives.
//!
//! A page's address is that of today, which may say something else by now or be gone: the date tells which text is meant.

/// A published page, as it was at a date.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    pub title: &'static str,
    /// As far as it is known: `2018-09-24`, `2020`; of an issue, when it was opened.
    pub date: &'static str,
    pub page: &'static str,
}

/// Declares documents: a static each.
macro_rules! documents {
    ($($(#[$meta:meta])* $name:ident = $date:literal, $title:literal, $page:literal;)*) => {
        $($(#[$meta])* pub(super) static $name: Document = Document { title: $title, date: $date, page: $page };)*
    };
}

documents! {
    /// A seed document.
    NETWORKING_2017 = "2017-05-08", "Networking considerations with an Azure App Service environment",
        "https://learn.microsoft.com/azure/app-service/environment/network-info";
    NETWORKING = "2022-03-29", "Networking considerations for App Service Environment",
        "https://learn.microsoft.com/azure/app-service/environment/network-info";
    /// A seed document.
    FIREWALL_2018 = "2018-09-24", "Locking down Azure App Service Environment outbound traffic",
        "https://learn.microsoft.com/azure/app-service/environment/firewall-integration";
    FIREWALL = "2023-11-20", "Locking down an App Service Environment",
        "https://learn.microsoft.com/azure/app-service/environment/firewall-integration";
    /// The text of the seed document, which bears no date itself.
    MANAGEMENT = "2022-10-24", "App Service Environment management addresses",
        "https://learn.microsoft.com/azure/app-service/environment/management-addresses";
    FORCED_TUNNEL = "2022-03-29", "Configure your App Service Environment with forced tunneling",
        "https://learn.microsoft.com/azure/app-service/environment/forced-tunnel-support";
    ILB = "2024-04-26", "Create and use an internal load balancer App Service Environment",
        "https://learn.microsoft.com/azure/app-service/environment/create-ilb-ase";
    EXPRESS_ROUTE_V1 = "2016-10-14", "Network configuration details for App Service Environment with ExpressRoute",
        "https://learn.microsoft.com/azure/app-service/environment/app-service-app-service-environment-network-configuration-expressroute";
    NETWORKING_V3 = "2023-07-21", "App Service Environment v3 networking",
        "https://learn.microsoft.com/azure/app-service/environment/networking";
    SETTINGS_V3 = "2026-03-13", "Network configuration settings of App Service Environment v3",
        "https://learn.microsoft.com/azure/app-service/environment/configure-network-settings";
    SECURITY_GROUPS = "2025-07-15", "Network security groups",
        "https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview";
    SERVICE_TAGS = "2021-04-23", "Virtual network service tags",
        "https://learn.microsoft.com/azure/virtual-network/service-tags-overview";
    ROUTING = "2023-05-27", "Virtual network traffic routing",
        "https://learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview";
    ENDPOINTS = "2019-11-08", "Virtual network service endpoints",
        "https://learn.microsoft.com/azure/virtual-network/virtual-network-service-endpoints-overview";
    LIMITS = "2020", "Azure subscription and service limits: networking",
        "https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits";
    RULE_ORDER = "2026-03-23", "Azure Firewall rule processing logic",
        "https://learn.microsoft.com/azure/firewall/rule-processing";
    /// Somebody's deployment failed without port 80.
    ISSUE_80 = "2018-09", "MicrosoftDocs/azure-docs, issue 14934",
        "https://github.com/MicrosoftDocs/azure-docs/issues/14934";
    /// Somebody's scale operation failed without port 445.
    ISSUE_445 = "2019-05", "MicrosoftDocs/azure-docs, issue 30781",
        "https://github.com/MicrosoftDocs/azure-docs/issues/30781";
    /// Somebody's apps were not reached behind a default route to the firewall.
    ISSUE_REPLIES = "2019", "MicrosoftDocs/azure-docs, issue 31920",
        "https://github.com/MicrosoftDocs/azure-docs/issues/31920";
    /// Somebody's apps went silent a week after a rule that denies everything, the load balancer too.
    ISSUE_DENY_ALL = "2023-09", "MicrosoftDocs/azure-docs, issue 115138",
        "https://github.com/MicrosoftDocs/azure-docs/issues/115138";
}
