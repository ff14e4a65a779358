//! The instances of resources that a plan or a state holds.

use std::collections::HashSet;

use crate::azure::json::{Node, Object, Value};
use crate::policy::Spot;

use super::references::{join, split};

/// One resource, or one of those that `count` or `for_each` make of it.
#[derive(Debug)]
pub(super) struct Instance<'d> {
    /// With modules and indexes: `module.net[0].azurerm_ip_group.g["a"]`.
    pub(super) address: String,
    /// `module.net[0]`; empty for the root.
    pub(super) module: String,
    pub(super) kind: &'d str,
    pub(super) values: &'d Node,
    /// True where Terraform will know a value only later, in the form of the values.
    pub(super) unknown: Option<&'d Node>,
    pub(super) at: Spot,
}

impl Instance<'_> {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.text().filter(|text| !text.is_empty())
    }
}

#[derive(Debug, Default)]
pub(super) struct Found<'d> {
    pub(super) instances: Vec<Instance<'d>>,
    pub(super) deleted: usize,
}

/// Which data sources are taken for resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Those that hold all that their resource holds, and no resource at all.
    OnlyRead,
    AllRead,
}

/// Data sources that say as much as the resource itself.
const WHOLE: &[&str] = &["azurerm_ip_group"];

impl<'d> Found<'d> {
    /// Changes say what is not known; what did not change stands among the planned values too.
    pub(super) fn plan(&mut self, plan: &'d Node) {
        let mut seen = HashSet::new();
        for change in plan.get("resource_changes").and_then(Node::list).into_iter().flatten() {
            seen.extend(change.get("address").and_then(Node::text));
            self.change(change);
        }
        let before = self.instances.len();
        if let Some(root) = plan.get("planned_values").and_then(|values| values.get("root_module")) {
            self.module(root, Data::AllRead);
        }
        if let Some(prior) = plan.get("prior_state").and_then(|state| state.get("values")?.get("root_module")) {
            self.module(prior, Data::OnlyRead);
        }
        let planned = self.instances.split_off(before);
        self.instances.extend(planned.into_iter().filter(|planned| !seen.contains(planned.address.as_str())));
    }

    fn change(&mut self, node: &'d Node) {
        let Some(change) = node.get("change") else { return };
        let actions = change.get("actions").and_then(Node::list).unwrap_or_default();
        if let [only] = actions
            && matches!(only.text(), Some("delete" | "forget"))
        {
            self.deleted += 1;
            return;
        }
        let Some(values) = change.get("after").filter(|after| after.object().is_some()) else { return };
        self.add(node, values, change.get("after_unknown"), Data::AllRead);
    }

    /// A module of planned values or of a state, and those in it.
    pub(super) fn module(&mut self, module: &'d Node, data: Data) {
        for node in module.get("resources").and_then(Node::list).into_iter().flatten() {
            if let Some(values) = node.get("values") {
                self.add(node, values, None, data);
            }
        }
        for child in module.get("child_modules").and_then(Node::list).into_iter().flatten() {
            self.module(child, data);
        }
    }

    fn add(&mut self, node: &'d Node, values: &'d Node, unknown: Option<&'d Node>, data: Data) {
        let text = |name: &str| node.get(name).and_then(Node::text);
        let (Some(address), Some(kind)) = (text("address"), text("type")) else { return };
        let is_data = text("mode") == Some("data");
        let wanted = if is_data { WHOLE.contains(&kind) } else { data == Data::AllRead };
        if wanted {
            let module = module_of(address);
            let address = address.to_owned();
            self.instances.push(Instance { address, module, kind, values, unknown, at: node.at });
        }
    }

    pub(super) fn state_file(&mut self, state: &'d Node) {
        for node in state.get("resources").and_then(Node::list).into_iter().flatten() {
            let Some(object) = node.object() else { continue };
            for instance in object.get("instances").and_then(Node::list).into_iter().flatten() {
                self.stored(object, instance);
            }
        }
    }

    fn stored(&mut self, resource: &'d Object, instance: &'d Node) {
        let text = |name: &str| resource.get(name).and_then(Node::text);
        let (Some(kind), Some(name)) = (text("type"), text("name")) else { return };
        let Some(values) = instance.get("attributes").filter(|values| values.object().is_some()) else { return };
        if text("mode") == Some("data") && !WHOLE.contains(&kind) {
            return;
        }
        let module = text("module").unwrap_or_default().to_owned();
        let index = index_of(instance.get("index_key"));
        let address = join(&module, &format!("{kind}.{name}{index}"));
        self.instances.push(Instance { address, module, kind, values, unknown: None, at: instance.at });
    }
}

fn index_of(key: Option<&Node>) -> String {
    match key.map(|key| &key.value) {
        Some(Value::Number(number)) => format!("[{number}]"),
        Some(Value::Text(text)) => format!("[\"{text}\"]"),
        _ => String::new(),
    }
}

/// `module.a[0].module.b` of `module.a[0].module.b.azurerm_x.y`.
fn module_of(address: &str) -> String {
    let segments = split(address);
    let modules = segments.chunks(2).take_while(|pair| pair.first() == Some(&"module")).count();
    segments.get(..modules * 2).map(|modules| modules.join(".")).unwrap_or_default()
}
