//! Policies written as Azure and its tools have them: ARM resources, templates, Bicep, Terraform, commands of `az`.
//!
//! Rules become a plan of resources, names and values in Azure's own words; each format writes that plan. What Azure
//! has no words for is told of and never widened in silence. Pure: where the text goes is the caller's business.

mod arm;
mod az_cli;
mod bicep;
mod limits;
mod names;
pub mod network;
mod plan;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
mod settings;
mod terraform;
#[cfg(test)]
mod tests;
mod tree;

use crate::azure::note::Note;
use crate::policy::RuleSet;

use names::Shortest;
use plan::Plan;

/// Of the REST API, whose property names are written.
const API_VERSION: &str = "2024-05-01";

/// What a policy is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A list of resources, as the REST API has them.
    Arm,
    /// A template to deploy into a resource group.
    ArmTemplate,
    Bicep,
    /// HCL for the azurerm provider.
    Terraform,
    /// A bash script.
    AzCli,
    /// Flattened, as `az … -o json` prints.
    Json,
}

/// What becomes of patterns that Azure has no words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Widen {
    /// They are left out.
    #[default]
    Never,
    /// The nearest pattern that Azure takes stands for them.
    Nearest,
}

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of the policy; its own where none is given.
    pub name: Option<String>,
    /// Azure region; the resource group's where neither this nor the policy says.
    pub location: Option<String>,
    pub widen: Widen,
    /// A line for the head of the file.
    pub remark: Option<String>,
}

/// What was written, and what could not be. An Error is a loss: flows may be decided otherwise.
#[derive(Debug)]
pub struct Exported {
    pub text: String,
    pub notes: Vec<Note>,
}

/// Writes policies in one of Azure's formats.
pub fn export(rules: &RuleSet, format: Format, options: &Options) -> Exported {
    let shortest = if format == Format::Terraform { Shortest::Two } else { Shortest::One };
    let mut plan = Plan::new(rules, options, shortest);
    let remark = options.remark.as_deref();
    let text = match format {
        Format::Arm => arm::resources(&plan, remark),
        Format::Json => arm::flattened(&plan, remark),
        Format::ArmTemplate => arm::template(&plan, remark),
        Format::Bicep => bicep::write(&plan, remark),
        Format::Terraform => terraform::write(&mut plan, remark),
        Format::AzCli => az_cli::write(&mut plan, remark),
    };
    Exported { text, notes: plan.notes }
}
