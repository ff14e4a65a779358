//! The one form that all shapes are turned into, and that the reader reads.

use crate::azure::json::{Node, Object};
use crate::policy::Spot;

/// One resource as ARM has it: full type, full name, properties. Its children are resources of their own, behind it,
/// and are no longer among its properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// `Microsoft.Network/firewallPolicies/ruleCollectionGroups`, in the letter case in which it is written.
    pub kind: String,
    /// A text with a segment for each segment of the type after the first, `policy/group`; or Unknown.
    pub name: Node,
    /// Where one is given, or could be made up from the names that a plan leads to.
    pub id: Option<Node>,
    /// An object, an empty one where there is none; something else only where the file has it so. Items of lists of
    /// children that are no objects are still in it.
    pub properties: Node,
    /// What stands beside name, type, id and properties: location, tags, sku, zones, identity.
    pub rest: Object,
    pub at: Spot,
}

impl Resource {
    /// True where it is of this type, written in any letter case: `Microsoft.Network/ipGroups`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    /// The last segment of the name: `group` of `policy/group`. None where the name is not known.
    pub fn leaf_name(&self) -> Option<&str> {
        let name = self.name.text()?;
        Some(name.rsplit_once('/').map_or(name, |(_, leaf)| leaf))
    }

    /// The segments before the last, outermost first: `policy` of `policy/group`.
    pub fn parent_names(&self) -> Vec<&str> {
        let parents = self.name.text().and_then(|name| name.rsplit_once('/')).map(|(parents, _)| parents);
        parents.map(|parents| parents.split('/').collect()).unwrap_or_default()
    }

    /// Its id, where it is a text.
    pub fn id_text(&self) -> Option<&str> {
        self.id.as_ref().and_then(Node::text)
    }

    /// A property by its name in any letter case; null counts as not there.
    pub fn property(&self, name: &str) -> Option<&Node> {
        self.properties.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::json::Value;

    fn named(name: Value) -> Resource {
        Resource {
            kind: "microsoft.network/FirewallPolicies/ruleCollectionGroups".to_owned(),
            name: Node::new(name, Spot::nowhere()),
            id: None,
            properties: Node::new(Value::Object(Object::default()), Spot::nowhere()),
            rest: Object::default(),
            at: Spot::nowhere(),
        }
    }

    #[test]
    fn names_have_a_leaf_and_parents() {
        let group = named(Value::Text("policy/group".into()));
        assert!(group.is("Microsoft.Network/firewallPolicies/ruleCollectionGroups"));
        assert_eq!(group.leaf_name(), Some("group"));
        assert_eq!(group.parent_names(), ["policy"]);
        let alone = named(Value::Text("group".into()));
        assert_eq!((alone.leaf_name(), alone.parent_names()), (Some("group"), Vec::new()));
        assert_eq!(named(Value::Null).leaf_name(), None);
    }
}
