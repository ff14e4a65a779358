//! The section of the README that says how fast Egret is, drawn from the newest comparison that is kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Comparison;
use super::figure::Figure;
use super::query::{EGRET, is_peer};
use super::table::Table;
use crate::chart::figure;
use crate::door::Door;
use crate::suite::Case;
use crate::workload::Workload;

const BEGIN: &str = "<!-- how fast: drawn by `egret-bench report … --readme README.md` -->\n";
const END: &str = "<!-- how fast: end -->\n";

const ROWS: [(Door, Workload); 11] = [
    (Door::Explicit, Workload::Tunnel),
    (Door::Socks5, Workload::Tunnel),
    (Door::Gateway, Workload::Tunnel),
    (Door::Explicit, Workload::Http),
    (Door::Explicit, Workload::Refused),
    (Door::Gateway, Workload::Refused),
    (Door::Explicit, Workload::Bulk),
    (Door::Gateway, Workload::Bulk),
    (Door::Gateway, Workload::Pingpong),
    (Door::Gateway, Workload::Idle),
    (Door::Dns, Workload::Lookup),
];

/// Puts the section of this comparison, kept as `json`, where the markers are.
pub fn renew(readme: &Path, json: &Path, comparison: &Comparison) -> Result<()> {
    let text = fs::read_to_string(readme).with_context(|| format!("reading {}", readme.display()))?;
    let renewed = renewed(&text, &beside(readme, json)?, comparison)?;
    fs::write(readme, renewed).with_context(|| format!("writing {}", readme.display()))
}

/// The path of the comparison as the README has to link it, without its ending.
fn beside(readme: &Path, json: &Path) -> Result<String> {
    let (readme, json) = (fs::canonicalize(readme)?, fs::canonicalize(json)?);
    let folder = readme.parent().context("the README is in no folder")?;
    let below = json.strip_prefix(folder).ok();
    let path = below
        .with_context(|| format!("{} is not below {}, so it cannot be linked", json.display(), folder.display()))?;
    path.with_extension("").to_str().map(str::to_owned).context("a path that is no text")
}

fn renewed(text: &str, path: &str, comparison: &Comparison) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("the README has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the README has no line {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", section(path, comparison)))
}

fn section(path: &str, comparison: &Comparison) -> String {
    let environment = &comparison.environment;
    let day = environment.date.split('T').next().unwrap_or_default();
    let mut table = Table::new(["", "Egret", "the floor", "peers"]);
    for (door, workload) in ROWS {
        let case = Case::usual(door, workload);
        if let Some(cells) = row(comparison, &case) {
            table.push(cells);
        }
    }
    format!(
        "![CPU time and memory of Egret beside its peers]({path}/summary.svg)\n\n{}\n\
         {day}, {} cores of {}, kernel {}; medians, each in turn with the others. The floor is a bare\n\
         relay without policy or log. Egret looks into every hello and logs every flow; the peers log nothing.\n\
         [The whole report]({path}.md) has latencies, throughput, curves, and which goals are met.\n",
        table.markdown(),
        environment.cores,
        environment.cpu_model,
        environment.kernel,
    )
}

/// `None` without a figure of Egret.
fn row(comparison: &Comparison, case: &Case) -> Option<Vec<String>> {
    let cost = Figure::cost(case);
    let median = |name: &str| comparison.rounds(name, case, cost).map(|rounds| rounds.median);
    let egret = median(EGRET)?;
    let mut peers: Vec<(f64, &str)> = Vec::new();
    for name in comparison.with(case, cost).into_iter().filter(|name| is_peer(name)) {
        peers.extend(median(name).map(|value| (value, name)));
    }
    peers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let peers: Vec<String> = peers.into_iter().map(|(value, name)| format!("{name} {}", figure(value))).collect();
    let floor = median("floor").map_or("–".into(), figure);
    let peers = if peers.is_empty() { "–".into() } else { peers.join(", ") };
    let work = format!("{}, {}", case.full_title(), unit(cost));
    Some(vec![work, format!("**{}**", figure(egret)), floor, peers])
}

fn unit(cost: Figure) -> &'static str {
    if cost == Figure::PerTunnel { "KiB" } else { cost.title() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::super::{markdown, pictures};
    use super::*;
    use std::path::PathBuf;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The newest comparison that the repository keeps.
    fn newest() -> PathBuf {
        let files = fs::read_dir(root().join("bench/results")).unwrap().map(|entry| entry.unwrap().path());
        let is_comparison = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with("-compare.json"));
        files.filter(is_comparison).max().expect("bench/results has a comparison")
    }

    #[test]
    fn the_readme_shows_the_newest_comparison() {
        let comparison = Comparison::load(&newest()).unwrap();
        let readme = root().join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        let expected = renewed(&text, &beside(&readme, &newest()).unwrap(), &comparison).unwrap();
        assert!(
            text == expected,
            "README.md is out of date: egret-bench report {} --readme README.md",
            newest().display()
        );
    }

    #[test]
    fn the_reports_that_are_kept_are_drawn_from_their_figures() {
        let json = newest();
        let comparison = Comparison::load(&json).unwrap();
        let folder = json.with_extension("");
        let drawn = pictures(&comparison);
        assert!(drawn.len() > 3, "few charts");
        for picture in &drawn {
            let path = folder.join(&picture.name).with_extension("svg");
            assert!(fs::read_to_string(&path).unwrap() == picture.svg, "{} is out of date", path.display());
        }
        let links = format!("{}/", folder.file_name().unwrap().to_str().unwrap());
        let report = fs::read_to_string(json.with_extension("md")).unwrap();
        let table = markdown(&comparison, &drawn, &links);
        assert!(report.starts_with(&table), "{}.md is out of date", folder.display());
    }

    #[test]
    fn a_row_has_the_peers_in_order() {
        let all = comparison(&[
            ("egret", tunnel(), &[12.0]),
            ("squid", tunnel(), &[30.0]),
            ("tinyproxy", tunnel(), &[20.0]),
            ("floor", tunnel(), &[11.0]),
        ]);
        let row = row(&all, &tunnel()).unwrap();
        assert_eq!(row, ["new tunnel by CONNECT, CPU µs", "**12.0**", "11.0", "tinyproxy 20.0, squid 30.0"]);
        assert_eq!(super::row(&comparison(&[("squid", tunnel(), &[30.0])]), &tunnel()), None);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let all = comparison(&[("egret", tunnel(), &[12.0])]);
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let renewed = super::renewed(&text, "bench/results/today", &all).unwrap();
        assert!(renewed.starts_with(&format!("before\n{BEGIN}![")) && renewed.ends_with(&format!("{END}after\n")));
        assert!(renewed.contains("(bench/results/today.md)") && !renewed.contains("old"), "{renewed}");
        assert_eq!(super::renewed(&renewed, "bench/results/today", &all).unwrap(), renewed);
        assert!(super::renewed("no markers", "today", &all).is_err());
    }
}
