//! What a JSON value is, told by its members.

use crate::azure::json::{Node, Object, Value};

use super::foreign;

/// What one document of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// To be worked out by the template evaluator first.
    Template,
    ParametersFile,
    /// Microsoft's `ServiceTags_Public_….json`, or `az network list-service-tags`.
    ServiceTags,
    TerraformPlan,
    /// `terraform show -json` of a state.
    TerraformState,
    /// `terraform.tfstate` itself.
    TerraformStateFile,
    /// Terraform's language in JSON, `main.tf.json`.
    TerraformSource,
    /// An example of the REST API's documentation: request and responses.
    RestExample,
    /// A resource, part of one, or a list of either.
    Resources,
    /// Something else of Azure's: what.
    Foreign(&'static str),
}

pub fn shape_of(document: &Node) -> Shape {
    let Some(object) = document.object() else { return Shape::Resources };
    let has = |name: &str| object.get(name).is_some();
    if let Some(shape) = by_schema(object) {
        return shape;
    }
    if has("planned_values") || has("resource_changes") || has("mock") {
        return Shape::TerraformPlan;
    }
    if object.get("values").and_then(|values| values.get("root_module")).is_some() {
        return Shape::TerraformState;
    }
    if has("lineage") || has("terraform_version") && has("resources") {
        return Shape::TerraformStateFile;
    }
    by_members(object)
}

fn by_schema(object: &Object) -> Option<Shape> {
    let schema = object.get("$schema")?.text()?.to_ascii_lowercase();
    if schema.contains("deploymenttemplate") {
        return Some(Shape::Template);
    }
    schema.contains("deploymentparameters").then_some(Shape::ParametersFile)
}

fn by_members(object: &Object) -> Shape {
    let has = |name: &str| object.get(name).is_some();
    if object.get("responses").and_then(Node::object).is_some() {
        return Shape::RestExample;
    }
    if is_service_tags(object) {
        return Shape::ServiceTags;
    }
    if has("contentVersion") && has("resources") || !has("type") && !has("id") && holds_typed_resources(object) {
        return Shape::Template;
    }
    if is_parameters(object) {
        return Shape::ParametersFile;
    }
    if object.get("resource").and_then(Node::object).is_some_and(names_terraform_types) {
        return Shape::TerraformSource;
    }
    foreign::told(object).map_or(Shape::Resources, Shape::Foreign)
}

fn is_service_tags(object: &Object) -> bool {
    let first = object.get("values").and_then(Node::list).and_then(<[Node]>::first);
    first.and_then(|tag| tag.get("properties")).is_some_and(|properties| properties.get("addressPrefixes").is_some())
}

/// `resources` of a template that has lost its schema.
fn holds_typed_resources(object: &Object) -> bool {
    let typed = |node: &Node| node.get("type").and_then(Node::text).is_some_and(|kind| kind.contains('/'));
    match object.get("resources").map(|resources| &resources.value) {
        Some(Value::List(items)) => items.first().is_some_and(typed),
        Some(Value::Object(named)) => named.iter().next().is_some_and(|(_, node)| typed(node)),
        _ => false,
    }
}

fn is_parameters(object: &Object) -> bool {
    let Some(parameters) = object.get("parameters").and_then(Node::object) else { return false };
    let given = |node: &Node| node.get("value").is_some() || node.get("reference").is_some();
    !parameters.0.is_empty() && parameters.iter().all(|(_, node)| given(node))
}

fn names_terraform_types(types: &Object) -> bool {
    !types.0.is_empty()
        && types.iter().all(|(key, node)| key.name.contains('_') && !key.name.contains('/') && node.object().is_some())
}
