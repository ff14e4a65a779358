//! Which language a text is in, by what is in it. The name of its file is a hint where the text leaves it open.

/// The languages in which people keep firewall policies, or hand them over by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Egret's own.
    Toml,
    Json,
    TerraformSource,
    /// What `terraform plan` and `terraform show` print for people.
    TerraformText,
    BicepSource,
    BicepParameters,
    Yaml,
    Xml,
    Html,
    Csv,
    /// `az … -o table`.
    AzTable,
    /// JSON with colours in it: `az … -o jsonc`.
    Coloured,
    /// Objects as PowerShell prints them.
    PowerShellList,
    Script,
}

/// Why a file cannot be used as it is, and the one command that changes that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub what: &'static str,
    pub mend: String,
}

/// More lines than this are not looked at.
const MOST_LINES: usize = 2_000;

pub fn detect(text: &str, name: &str) -> Format {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('\u{1b}') {
        return Format::Coloured;
    }
    if text.starts_with("#!") {
        return Format::Script;
    }
    let code = after_comments(text);
    match code.as_bytes().first() {
        Some(b'{') => Format::Json,
        Some(b'[') => in_brackets(code),
        Some(b'<') => markup(code),
        Some(_) => by_lines(code).or_else(|| by_name(name)).unwrap_or(Format::Toml),
        None => by_name(name).unwrap_or(Format::Toml),
    }
}

/// A TOML file can begin with a bracket, though not around a brace or around nothing.
fn in_brackets(code: &str) -> Format {
    let inside = after_comments(code[1..].trim_start());
    let json = inside.is_empty() || inside.starts_with(['{', ']']);
    if json { Format::Json } else { Format::Toml }
}

fn markup(code: &str) -> Format {
    let start: String = code.chars().take(16).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") { Format::Html } else { Format::Xml }
}

/// Skips what is a comment in any of the languages.
fn after_comments(mut text: &str) -> &str {
    loop {
        let rest = if let Some(block) = text.strip_prefix("/*") {
            block.split_once("*/").map_or("", |(_, rest)| rest)
        } else if text.starts_with("//") || text.starts_with('#') && !text.starts_with("#!") {
            if told_by_comment(text) {
                return text;
            }
            text.split_once('\n').map_or("", |(_, rest)| rest)
        } else {
            return text;
        };
        text = rest.trim_start();
    }
}

/// `# azurerm_firewall.hub will be created`, and `# azurerm_firewall.hub:` of a state.
fn told_by_comment(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let told = line.ends_with("will be created") || line.ends_with("will be updated in-place") || line.ends_with(':');
    told && line.strip_prefix("# ").is_some_and(|rest| rest.starts_with("azurerm_") || rest.starts_with("module."))
}

/// The first line that only one language has.
fn by_lines(code: &str) -> Option<Format> {
    let mut lines = code.lines().take(MOST_LINES).peekable();
    let first = lines.peek().copied().unwrap_or_default();
    if code.lines().nth(1).is_some_and(is_rule) {
        return Some(Format::AzTable);
    }
    let found = lines.filter(|line| !line.starts_with([' ', '\t'])).find_map(of_line);
    found.or_else(|| is_csv(first).then_some(Format::Csv))
}

/// `------  -----`, as under the headings of a table.
fn is_rule(line: &str) -> bool {
    line.starts_with("---") && line.contains(' ') && line.bytes().all(|byte| byte == b'-' || byte == b' ')
}

fn is_csv(line: &str) -> bool {
    !line.contains('=') && line.matches([',', '\t']).count() >= 2
}

fn of_line(line: &str) -> Option<Format> {
    let line = line.trim_end();
    let mut words = line.split_ascii_whitespace();
    let (first, second, third) = (words.next()?, words.next().unwrap_or(""), words.next().unwrap_or(""));
    match first {
        _ if first.starts_with('[') => Some(Format::Toml),
        "using" if second.starts_with('\'') || second == "none" => Some(Format::BicepParameters),
        "resource" | "module" if third.starts_with('\'') => Some(Format::BicepSource),
        "resource" | "module" | "variable" | "provider" | "data" | "output" | "moved" | "import" if quoted(second) => {
            Some(Format::TerraformSource)
        }
        "terraform" | "locals" | "terraform{" | "locals{" if second == "{" || first.ends_with('{') => {
            Some(Format::TerraformSource)
        }
        "param" | "var" | "metadata" | "type" | "func" | "output" if is_word(second) && !third.is_empty() => {
            Some(Format::BicepSource)
        }
        "targetScope" if third.starts_with('\'') => Some(Format::BicepSource),
        "Terraform" if line.starts_with("Terraform ") && !line.contains('=') => Some(Format::TerraformText),
        "az" | "New-AzFirewall" | "New-AzFirewallPolicy" | "Connect-AzAccount" => Some(Format::Script),
        _ if first.starts_with('@') && first.contains('(') => Some(Format::BicepSource),
        _ if told_by_comment(line) => Some(Format::TerraformText),
        _ if is_word(first) && second == ":" => Some(Format::PowerShellList),
        "---" => Some(Format::Yaml),
        "-" => Some(Format::Yaml),
        _ if first.strip_suffix(':').is_some_and(is_word) => Some(Format::Yaml),
        _ => None,
    }
}

fn quoted(word: &str) -> bool {
    word.starts_with('"')
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn by_name(name: &str) -> Option<Format> {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())?;
    match ending.as_str() {
        "tf" | "hcl" | "tfvars" => Some(Format::TerraformSource),
        "bicep" => Some(Format::BicepSource),
        "bicepparam" => Some(Format::BicepParameters),
        "json" | "jsonc" | "tfstate" => Some(Format::Json),
        _ => None,
    }
}

impl Format {
    /// None where there is a reader for it. `name` is the file's, for the command.
    pub fn refusal(self, name: &str) -> Option<Refusal> {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let (what, mend) = match self {
            Format::Toml | Format::Json => return None,
            Format::TerraformSource => ("Terraform source, which only Terraform can work out", TERRAFORM.to_owned()),
            Format::TerraformText => ("Terraform's text for people", TERRAFORM.to_owned()),
            Format::BicepSource => {
                ("Bicep source", format!("run `az bicep build --file {name} --stdout > {stem}.json` and give that"))
            }
            Format::BicepParameters => (
                "parameters in Bicep",
                format!("run `az bicep build-params --file {name} --stdout > {stem}.parameters.json` and give that"),
            ),
            Format::Yaml => ("YAML", "write it with `-o json`".to_owned()),
            Format::Xml => ("XML", JSON.to_owned()),
            Format::Html => ("a web page", "save the file itself, not the page that shows it".to_owned()),
            Format::Csv => ("a table of separated values", JSON.to_owned()),
            Format::AzTable => ("a table for people", "write it with `-o json`".to_owned()),
            Format::Coloured => ("text with colours in it", "write it with `-o json`, not `-o jsonc`".to_owned()),
            Format::PowerShellList => {
                ("PowerShell's text for people", "write it with `| ConvertTo-Json -Depth 20`".to_owned())
            }
            Format::Script => ("a script, which Egret does not run", JSON.to_owned()),
        };
        Some(Refusal { what, mend })
    }
}

pub(super) const TERRAFORM: &str =
    "run `terraform plan -out p && terraform show -json p > plan.json` and give plan.json";
const JSON: &str = "give the policy as JSON: `az network firewall policy rule-collection-group list -o json`";

/// True where more brackets open than close: the file was cut off.
pub fn is_cut_off(json: &str) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_i64, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
    }
    in_text || depth > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Format) {
        assert_eq!(detect(text, "policy"), expected, "{text}");
    }

    #[test]
    fn what_there_is_a_reader_for() {
        check("", Format::Toml);
        check("name = \"x\"\n[[rule_collection_group]]\nresource \"x\"", Format::Toml);
        check("[settings]\n", Format::Toml);
        check("# c\n[[ip_group]]", Format::Toml);
        check("allow = [\n  \"a\",\n]", Format::Toml);
        check("\u{feff} // c\n/* d */ {}", Format::Json);
        check("[ // c\n {}]", Format::Json);
        check("[]", Format::Json);
    }

    #[test]
    fn what_is_refused() {
        check("# c\nresource \"azurerm_firewall\" \"x\" {", Format::TerraformSource);
        check("terraform {\n", Format::TerraformSource);
        check("locals {\n", Format::TerraformSource);
        check("  # azurerm_firewall.x will be created\n", Format::TerraformText);
        check("Terraform used the selected providers", Format::TerraformText);
        check("// c\ntargetScope = 'subscription'\n", Format::BicepSource);
        check("@description('x')\nparam a string", Format::BicepSource);
        check("resource p 'Microsoft.Network/firewallPolicies@2024-05-01' = {", Format::BicepSource);
        check("using 'main.bicep'\n\nparam a = 1", Format::BicepParameters);
        check("apiVersion: v1\nkind: x", Format::Yaml);
        check("---\na: 1", Format::Yaml);
        check("- name: x", Format::Yaml);
        check("<?xml version=\"1.0\"?>", Format::Xml);
        check("<!DOCTYPE html>", Format::Html);
        check("name,priority,action\na,1,Allow", Format::Csv);
        check("Name    Priority\n------  --------\na  1", Format::AzTable);
        check("\u{1b}[94m{", Format::Coloured);
        check("Name              : x\nId : y", Format::PowerShellList);
        check("#!/bin/sh\n", Format::Script);
        check("az network firewall create -n x", Format::Script);
    }

    #[test]
    fn a_name_is_a_hint() {
        assert_eq!(detect("a = 1", "x.tfvars"), Format::TerraformSource);
        assert_eq!(detect("{}", "x.tf"), Format::Json);
        let mend = Format::BicepSource.refusal("a.bicep").unwrap().mend;
        assert_eq!(mend, "run `az bicep build --file a.bicep --stdout > a.json` and give that");
    }

    #[test]
    fn cut_off_files() {
        for cut in ["{\"a\": [1", "{\"a", "[{}"] {
            assert!(is_cut_off(cut), "{cut}");
        }
        assert!(!is_cut_off("{\"a\": \"{[\\\"\"}"));
    }
}
