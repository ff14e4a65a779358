//! The files of a comparison: figures, report and charts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::args::Redraw;
use crate::output;
use crate::report::{Comparison, markdown, pictures, renew_readme};

/// Ends the part of a report that is drawn. What somebody has written below it is kept when it is drawn anew.
const DRAWN: &str = "\n<!-- drawn to here by egret-bench; what follows is kept -->\n";

/// `STEM.json`, `STEM.md` and a folder `STEM` of charts.
pub struct Kept {
    json: PathBuf,
    report: PathBuf,
    charts: PathBuf,
}

impl Kept {
    pub fn at(stem: &Path) -> Kept {
        Kept { json: ending(stem, ".json"), report: ending(stem, ".md"), charts: stem.to_owned() }
    }

    /// Before anything is measured for it.
    pub fn try_it(&self) -> Result<()> {
        self.make_folder()?;
        output::try_file(&self.json)?;
        output::try_file(&self.report)?;
        let taken = self.charts.exists() && !self.charts.is_dir();
        ensure!(!taken, "making {}: there is a file of that name", self.charts.display());
        Ok(())
    }

    /// Where a run that was interrupted goes: a whole one that is here already stays.
    pub fn for_interrupted(self) -> Kept {
        let is_whole = || !Comparison::load(&self.json).is_ok_and(|there| there.interrupted);
        if self.json.exists() && is_whole() { Kept::at(&ending(&self.charts, "-interrupted")) } else { self }
    }

    fn make_folder(&self) -> Result<()> {
        let Some(folder) = self.json.parent() else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
    }

    pub fn write(&self, comparison: &mut Comparison) -> Result<()> {
        self.make_folder()?;
        write(&self.json, &comparison.json()?)?;
        draw(comparison, Some(&self.report), Some(&self.charts))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept: {}, {}, {}", self.json.display(), self.report.display(), self.charts.display())
    }
}

fn ending(stem: &Path, ending: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// `egret-bench report`: without a file to write, the report goes to standard output.
pub fn redraw(redraw: &Redraw) -> Result<()> {
    let Redraw { json, join, markdown: report, svg, readme } = redraw;
    let mut comparison = Comparison::load(json)?;
    if readme.is_some() {
        ensure!(!comparison.interrupted, "{} was interrupted: the README shows whole runs", json.display());
        ensure!(!comparison.rows.is_empty(), "{} has no figures", json.display());
    }
    if let Some(more) = join {
        comparison.join(Comparison::load(more)?)?;
        Kept::at(&json.with_extension("")).write(&mut comparison)?;
    }
    draw(&comparison, report.as_deref(), svg.as_deref())?;
    if let Some(readme) = readme {
        renew_readme(readme, json, &comparison)?;
    }
    if report.is_none() && svg.is_none() && readme.is_none() && join.is_none() {
        output::print(markdown(&comparison, &[], ""))?;
    }
    Ok(())
}

/// A report without charts links none.
fn draw(comparison: &Comparison, report: Option<&Path>, charts: Option<&Path>) -> Result<()> {
    let drawn = if charts.is_some() { pictures(comparison) } else { Vec::new() };
    if let Some(folder) = charts {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        for picture in &drawn {
            write(&folder.join(format!("{}.svg", picture.name)), &picture.svg)?;
        }
    }
    if let Some(report) = report {
        let text = markdown(comparison, &drawn, &link(report, charts)) + DRAWN + &written_below(report);
        write(report, &text)?;
    }
    Ok(())
}

/// How the report links the folder of charts.
fn link(report: &Path, charts: Option<&Path>) -> String {
    let Some(charts) = charts else { return String::new() };
    let below = report.parent().and_then(|folder| charts.strip_prefix(folder).ok());
    format!("{}/", below.unwrap_or(charts).display())
}

fn written_below(report: &Path) -> String {
    let text = fs::read_to_string(report).unwrap_or_default();
    text.split_once(DRAWN).map(|(_, below)| below.to_owned()).unwrap_or_default()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{comparison, tunnel};

    #[test]
    fn where_nothing_can_be_kept_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let tried = |stem: &Path| Kept::at(stem).try_it().map_err(|error| error.to_string());
        assert_eq!(tried(&folder.path().join("new/today")), Ok(()));
        assert_eq!(tried(&file), Err(format!("making {}: there is a file of that name", file.display())));
        assert_eq!(tried(&file.join("today")), Err(format!("making {}", file.display())));
        assert_eq!(tried(Path::new("/proc/today")), Err("writing /proc/today.json".into()));
    }

    #[test]
    fn an_interrupted_run_does_not_replace_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("today");
        let interrupted = || Kept::at(&stem).for_interrupted().charts;
        assert_eq!(interrupted(), stem);
        let mut all = comparison(&[("egret", tunnel(), &[10.0])]);
        all.interrupted = true;
        Kept::at(&stem).write(&mut all).unwrap();
        assert_eq!(interrupted(), stem);
        all.interrupted = false;
        Kept::at(&stem).write(&mut all).unwrap();
        assert_eq!(interrupted(), folder.path().join("today-interrupted"));
        fs::write(stem.with_extension("json"), "of another version").unwrap();
        assert_eq!(interrupted(), folder.path().join("today-interrupted"));
    }

    #[test]
    fn the_readme_shows_whole_runs() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(&folder.path().join("today"));
        let refused = |all: &mut Comparison| {
            kept.write(all).unwrap();
            let (json, readme) = (kept.json.clone(), Some(folder.path().join("README.md")));
            redraw(&Redraw { json, join: None, markdown: None, svg: None, readme }).unwrap_err().to_string()
        };
        let mut all = comparison(&[("egret", tunnel(), &[10.0])]);
        all.interrupted = true;
        assert!(refused(&mut all).ends_with("today.json was interrupted: the README shows whole runs"));
        assert!(refused(&mut comparison(&[])).ends_with("today.json has no figures"));
    }

    #[test]
    fn what_somebody_wrote_below_a_report_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(&folder.path().join("today-compare"));
        let mut all = comparison(&[("egret", tunnel(), &[10.0]), ("squid", tunnel(), &[20.0])]);
        kept.write(&mut all).unwrap();
        let report = fs::read_to_string(&kept.report).unwrap();
        fs::write(&kept.report, report.clone() + "\n## Where the time goes\n").unwrap();
        let again = Redraw {
            join: None,
            json: kept.json.clone(),
            markdown: Some(kept.report.clone()),
            svg: Some(kept.charts.clone()),
            readme: None,
        };
        redraw(&again).unwrap();
        let redrawn = fs::read_to_string(&kept.report).unwrap();
        assert_eq!(redrawn, report + "\n## Where the time goes\n");
        assert!(redrawn.contains("](today-compare/summary.svg)"), "{redrawn}");
        assert!(kept.charts.join("summary.svg").exists());
    }
}
