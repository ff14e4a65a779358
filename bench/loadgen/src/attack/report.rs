//! What came of all cases: by family and by proxy, as text, Markdown or JSON.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::ops::Not;

use anyhow::Result as Anyhow;
use jiff::Zoned;
use serde::Serialize;

use super::case::{Case, Door, Profile, Verdict};
use super::corpus::Corpus;
use super::run::{Outcome, Trace};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "why", rename_all = "kebab-case")]
pub enum Result {
    AsExpected,
    Wrong(String),
    NotApplicable(&'static str),
}

/// One case by one door.
#[derive(Debug, Serialize)]
pub struct Line {
    pub case: String,
    /// The beginning of the case's id.
    #[serde(skip)]
    pub family: String,
    pub door: Door,
    pub expected: Verdict,
    /// In Azure Firewall this is not publicly known.
    #[serde(skip_serializing_if = "Not::not")]
    pub assumed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seen: String,
    #[serde(flatten)]
    pub came: Result,
}

impl Line {
    pub fn of(case: &Case, door: Door, profile: Profile, trace: Option<&Trace>, came: Result) -> Line {
        let family = case.id.split('-').next().unwrap_or_default().to_owned();
        let assumed = case.assumed && profile == Profile::Azure;
        let expected = case.expected(profile);
        Line {
            case: case.id.clone(),
            family,
            door,
            expected,
            assumed,
            seen: trace.map_or_else(String::new, seen),
            came,
        }
    }
}

fn seen(trace: &Trace) -> String {
    match &trace.outcome {
        Outcome::Allowed => "allowed".into(),
        Outcome::Mended => "mended".into(),
        Outcome::Arrived => "arrived".into(),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
        Outcome::Silent => "silence".into(),
        Outcome::Unmet(_) => "incomplete".into(),
        Outcome::ControlLost => "control lost".into(),
        Outcome::Error(_) => "error".into(),
    }
}

/// A proxy and what it did.
#[derive(Debug, Serialize)]
pub struct Attacked {
    pub name: String,
    pub version: String,
    pub profile: Profile,
    pub came: Vec<Line>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    expected: usize,
    wrong: usize,
    not_applicable: usize,
}

impl Counts {
    fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Counts {
        lines.fold(Counts::default(), |mut counts, line| {
            match line.came {
                Result::AsExpected => counts.expected += 1,
                Result::Wrong(_) => counts.wrong += 1,
                Result::NotApplicable(_) => counts.not_applicable += 1,
            }
            counts
        })
    }

    fn applicable(self) -> usize {
        self.expected + self.wrong
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    date: String,
    kernel: String,
    cases: usize,
    families: Vec<(String, usize)>,
    subjects: Vec<Attacked>,
}

impl Report {
    pub fn of(corpus: &Corpus, subjects: Vec<Attacked>) -> Report {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let families = corpus.families.iter().map(|it| (it.family.clone(), it.cases.len())).collect();
        Report { date: Zoned::now().date().to_string(), kernel, cases: corpus.cases().count(), families, subjects }
    }

    /// Whether there was anything to judge.
    pub fn is_empty(&self) -> bool {
        self.subjects.iter().all(|subject| Counts::of(subject.came.iter()).applicable() == 0)
    }

    pub fn is_clean(&self) -> bool {
        self.subjects.iter().all(|subject| Counts::of(subject.came.iter()).wrong == 0)
    }

    /// One flow a line: there are thousands of them.
    pub fn json(&self) -> Anyhow<String> {
        let lines = ["{\"name\":", "{\"case\":"];
        // In a string the quotes would be escaped.
        let text = serde_json::to_string(self)? + "\n";
        Ok(lines.iter().fold(text, |text, begin| text.replace(begin, &format!("\n{begin}"))))
    }

    pub fn text(&self) -> String {
        let colours = Colours::of_standard_output();
        let mut out = String::new();
        for subject in &self.subjects {
            let _ = writeln!(out, "{} ({}), expected: {}", subject.name, subject.version, subject.profile.as_str());
            let _ = writeln!(
                out,
                "{:<10} {:>6} {:>12} {:>6} {:>15}",
                "family", "flows", "as expected", "wrong", "not applicable"
            );
            for (family, _) in &self.families {
                row(&mut out, family, Counts::of(subject.of(family)), &colours);
            }
            row(&mut out, "all", Counts::of(subject.came.iter()), &colours);
            for line in &subject.came {
                if let Result::Wrong(why) = &line.came {
                    let Colours { wrong, plain, .. } = &colours;
                    let expected = line.expected.as_str();
                    let _ = writeln!(
                        out,
                        "{wrong}wrong{plain} {} by {}: expected {expected}: {why}",
                        line.case,
                        line.door.as_str()
                    );
                }
            }
            out.push('\n');
        }
        out
    }

    pub fn markdown(&self) -> String {
        let mut out = String::from("# Attacks\n\n");
        let _ = writeln!(
            out,
            "{}, kernel {}. {} cases, each by every door that it concerns: `wrong / applicable`; – where no case of the \
             family is applicable. What is expected of Egret is what its profile promises, of the others what is safe. \
             [What this is and how to run it](../../docs/attacks.md).\n",
            self.date, self.kernel, self.cases
        );
        self.table(&mut out);
        self.not_applicable(&mut out);
        for subject in &self.subjects {
            let _ = writeln!(out, "\n## {}\n\n{}\n", subject.name, subject.version);
            subject.wrong(&mut out);
        }
        out
    }

    fn table(&self, out: &mut String) {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        let _ = writeln!(out, "| family | cases | {} |", names.join(" | "));
        let _ = writeln!(out, "|---|---|{}", "---|".repeat(names.len()));
        for (family, cases) in &self.families {
            let cells: Vec<String> = self.subjects.iter().map(|it| cell(Counts::of(it.of(family)))).collect();
            let _ = writeln!(out, "| {family} | {cases} | {} |", cells.join(" | "));
        }
        let cells: Vec<String> = self.subjects.iter().map(|it| cell(Counts::of(it.came.iter()))).collect();
        let _ = writeln!(out, "| **all** | {} | {} |", self.cases, cells.join(" | "));
    }

    fn not_applicable(&self, out: &mut String) {
        out.push_str("\nNot applicable, in flows (a case by one door):\n\n");
        for subject in &self.subjects {
            let mut whys: Vec<(&str, usize)> = Vec::new();
            for line in &subject.came {
                let Result::NotApplicable(why) = line.came else { continue };
                match whys.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, count)) => *count += 1,
                    None => whys.push((why, 1)),
                }
            }
            let said: Vec<String> = whys.iter().map(|(why, count)| format!("{count} ({why})")).collect();
            let said = if said.is_empty() { "none".into() } else { said.join(", ") };
            let _ = writeln!(out, "- {}: {said}", subject.name);
        }
    }
}

impl Attacked {
    fn of(&self, family: &str) -> impl Iterator<Item = &Line> {
        self.came.iter().filter(move |line| line.family == family)
    }

    fn wrong(&self, out: &mut String) {
        let wrong: Vec<(&Line, &String)> = self
            .came
            .iter()
            .filter_map(|line| if let Result::Wrong(why) = &line.came { Some((line, why)) } else { None })
            .collect();
        if wrong.is_empty() {
            out.push_str("Everything as expected.\n");
            return;
        }
        out.push_str("| case | door | expected | what happened |\n|---|---|---|---|\n");
        for (line, why) in wrong {
            let why = why.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {} | {} | {why} |", line.case, line.door.as_str(), line.expected.as_str());
        }
    }
}

struct Colours {
    right: &'static str,
    wrong: &'static str,
    plain: &'static str,
}

impl Colours {
    fn of_standard_output() -> Colours {
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            Colours { right: "\x1b[32m", wrong: "\x1b[31m", plain: "\x1b[0m" }
        } else {
            Colours { right: "", wrong: "", plain: "" }
        }
    }
}

fn row(out: &mut String, name: &str, counts: Counts, colours: &Colours) {
    let Counts { expected, wrong, not_applicable } = counts;
    let colour = if wrong > 0 { colours.wrong } else { colours.right };
    let plain = colours.plain;
    let flows = expected + wrong + not_applicable;
    let _ = writeln!(out, "{name:<10} {flows:>6} {expected:>12} {colour}{wrong:>6}{plain} {not_applicable:>15}");
}

fn cell(counts: Counts) -> String {
    match counts.applicable() {
        0 => "–".into(),
        applicable if counts.wrong == 0 => format!("0 / {applicable}"),
        applicable => format!("**{}** / {applicable}", counts.wrong),
    }
}

/// Every case on a line.
pub fn list(corpus: &Corpus) -> String {
    let mut out = String::new();
    for (_, case) in corpus.cases() {
        let doors: Vec<&str> = case.doors.iter().map(|door| door.as_str()).collect();
        let (strict, azure) = (case.strict.as_str(), case.azure.as_str());
        let unknown = if case.assumed { "?" } else { "" };
        let _ = writeln!(
            out,
            "{:<52} {strict:<9} {:<10} {:<32} {}",
            case.id,
            format!("{azure}{unknown}"),
            doors.join(","),
            case.title
        );
    }
    out
}
