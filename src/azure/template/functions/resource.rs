//! Resource ids, and references to other resources.

use super::super::eval::Machine;
use super::super::meter::Stop;
use super::super::scope::{Env, Held};
use super::super::{ids, value};
use crate::azure::json::Value;

/// What a resource is called in `reference(NAME)`.
pub(super) fn asked_name(asked: &Value) -> String {
    value::reading(asked).map(ids::name_in).unwrap_or_default()
}

impl<'t> Machine<'t> {
    pub(super) fn resource_id(&mut self, function: &str, arguments: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let mut values: Vec<Value> = arguments.iter().map(|held| held.value().clone()).collect();
        let base = (function == "extensionresourceid" && !values.is_empty()).then(|| values.remove(0));
        let is_type =
            |value: &Value| matches!(value, Value::Text(text) if text.contains('/') && !text.starts_with('/'));
        let Some(at) = values.iter().position(is_type) else {
            if arguments.iter().any(|held| matches!(held.value(), Value::Unknown(_))) {
                return Ok(self.unknown_call(function, arguments));
            }
            let what = format!("{function} takes a type, such as 'Microsoft.Network/ipGroups', and names");
            return Err(Stop::Wrong(what));
        };
        let names = values.split_off(at + 1);
        let kind = value::reading(&values[at]).unwrap_or_default().to_owned();
        values.truncate(at);
        let prefix = match base {
            Some(base) => base,
            None => self.id_prefix(function, &values, env)?,
        };
        let id = ids::id(&prefix, &kind, &names, &mut self.meter)?;
        Ok(self.made(id))
    }

    /// `given` is what stood before the type: subscription and resource group, or a management group.
    fn id_prefix(&mut self, function: &str, given: &[Value], env: &Env<'t>) -> Result<Value, Stop> {
        let place = &env.place;
        match (function, given) {
            ("tenantresourceid", _) => Ok(value::text("")),
            ("managementgroupresourceid", given) => {
                let egret = value::text("egret");
                let group = given.first().unwrap_or(&egret);
                let root = value::text("/providers/Microsoft.Management/managementGroups/");
                ids::weave(&[&root, group], &mut self.meter)
            }
            ("subscriptionresourceid", given) => {
                ids::subscription_prefix(given.first().unwrap_or(&place.subscription), &mut self.meter)
            }
            (_, []) => ids::prefix(place, &mut self.meter),
            (_, [group]) => ids::group_prefix(&place.subscription, group, &mut self.meter),
            (_, [subscription, group, ..]) => ids::group_prefix(subscription, group, &mut self.meter),
        }
    }

    /// What is written of a resource of the same template; what Azure adds to it is unknown under
    /// `reference(NAME).member`.
    pub(super) fn reference(&mut self, arguments: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let Some(asked) = arguments.first().and_then(|held| value::reading(held.value())) else {
            let is_unknown = arguments.first().is_some_and(|held| matches!(held.value(), Value::Unknown(_)));
            let wrong = Stop::Wrong("reference takes the name or the id of a resource".into());
            return if is_unknown { Ok(self.unknown_call("reference", arguments)) } else { Err(wrong) };
        };
        let is_full =
            arguments.iter().skip(1).any(|held| held.node.text().is_some_and(|t| t.eq_ignore_ascii_case("full")));
        let found = self.index.find(asked, &env.stage);
        let of = found.as_ref().map_or_else(|| ids::name_in(asked), |instance| instance.shown());
        let name = if is_full { format!("reference({of}, 'Full')") } else { format!("reference({of})") };
        if let Some(set) = self.set_value(&name) {
            return Ok(self.made(set));
        }
        let Some(instance) = found else { return self.named(&name, &[]) };
        if is_full {
            let whole = self.whole(&instance)?;
            return Ok(Held { open: Some(name.into()), ..whole });
        }
        Ok(Held { open: Some(name.into()), ..self.properties(&instance)? })
    }

    /// The resources of a loop are not looked for: it is asked of runtime state, if anything.
    pub(super) fn references(&mut self, name: &str, arguments: &[Held]) -> Result<Held, Stop> {
        self.named(&super::shown_call(name, arguments), &[])
    }

    /// `resourceInfo('symbol')`: what is known of a resource without asking Azure.
    pub(super) fn resource_info(&mut self, arguments: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let asked = arguments.first().and_then(|held| value::reading(held.value())).unwrap_or_default();
        let Some(instance) = self.index.find(asked, &env.stage) else {
            return self.named(&format!("resourceInfo({asked})"), &[]);
        };
        let version = instance.written.get("apiVersion").map(|node| self.node(node, &instance.env).value);
        let members = [
            ("id", instance.id.clone()),
            ("name", instance.name.clone()),
            ("type", value::text(instance.kind.clone())),
            ("apiVersion", version.unwrap_or(Value::Null)),
        ];
        Ok(self.made(value::object(members, self.at)))
    }
}
