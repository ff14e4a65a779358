//! What every record of Azure's diagnostic logs is wrapped in (observed at event hubs).

use serde::{Serialize, Serializer};

use super::category::Category;

/// A structured record: its properties are the columns of its table.
#[derive(Debug, Serialize)]
pub struct Record<'a, P> {
    #[serde(serialize_with = "by_name")]
    category: Category,
    time: &'a str,
    #[serde(rename = "resourceId", serialize_with = "upper_case")]
    resource_id: &'a str,
    properties: P,
}

impl<'a, P> Record<'a, P> {
    /// `time` is RFC 3339 in UTC with seven digits after the second.
    pub(super) fn new(category: Category, time: &'a str, resource_id: &'a str, properties: P) -> Record<'a, P> {
        Record { category, time, resource_id, properties }
    }
}

/// A record of a legacy category: a line of text.
#[derive(Debug, Serialize)]
pub struct LegacyRecord<'a> {
    #[serde(serialize_with = "by_name")]
    category: Category,
    time: &'a str,
    #[serde(rename = "resourceId", serialize_with = "upper_case")]
    resource_id: &'a str,
    #[serde(rename = "operationName")]
    operation_name: &'static str,
    properties: LegacyProperties,
}

#[derive(Debug, Serialize)]
struct LegacyProperties {
    msg: String,
}

impl<'a> LegacyRecord<'a> {
    /// The first is the category with the name of its operation.
    pub(super) fn new(
        (category, operation_name): (Category, &'static str),
        time: &'a str,
        resource_id: &'a str,
        msg: String,
    ) -> LegacyRecord<'a> {
        LegacyRecord { category, time, resource_id, operation_name, properties: LegacyProperties { msg } }
    }
}

fn by_name<S: Serializer>(category: &Category, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(category.name())
}

/// Azure writes resource ids in upper case in its diagnostic records.
fn upper_case<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text.to_ascii_uppercase())
}
