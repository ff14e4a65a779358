//! A test suite for each environment and a test case for each rule, as CI systems read JUnit's XML.
//!
//! There is no standard of it: what is written here is what Jenkins, GitLab, Azure Pipelines and GitHub's reporters have in
//! common. A finding below `--severity` is no failure; its case says it as output.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::cli::output::{PrintError, Printer};
use crate::doctor::{Examined, Outcome, Severity};
use crate::telemetry::Printable;

use super::live::{Attempt, Tried};
use super::report::{Examination, Item, Report};

type Xml = Writer<Vec<u8>>;

pub(super) fn print(
    report: &Report,
    tried: &[Tried],
    threshold: Severity,
    printer: &mut Printer,
) -> Result<(), PrintError> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = report.environments.iter().map(|it| Suite { examination: it, threshold }).collect::<Vec<_>>();
    let root = xml.create_element("testsuites").with_attribute(("name", "egret doctor"));
    root.write_inner_content(|xml| {
        suites.iter().try_for_each(|suite| suite.write(xml))?;
        tried.iter().try_for_each(|it| live(xml, it))
    })?;
    printer.line(String::from_utf8_lossy(&xml.into_inner()))
}

struct Suite<'a> {
    examination: &'a Examination,
    threshold: Severity,
}

impl Suite<'_> {
    fn write(&self, xml: &mut Xml) -> io::Result<()> {
        let Examination { environment, diagnosis, .. } = self.examination;
        let cases = &diagnosis.examined;
        let failures = cases.iter().filter(|it| self.failing(it).next().is_some()).count();
        let skipped = cases.iter().filter(|it| matches!(it.outcome, Outcome::NotApplicable(_))).count();
        let suite = xml
            .create_element("testsuite")
            .with_attribute(("name", plain(&environment.name).as_str()))
            .with_attribute(("tests", cases.len().to_string().as_str()))
            .with_attribute(("failures", failures.to_string().as_str()))
            .with_attribute(("errors", "0"))
            .with_attribute(("skipped", skipped.to_string().as_str()));
        suite.write_inner_content(|xml| {
            let messages = diagnosis.platform_messages(&environment.name);
            xml.create_element("properties").write_inner_content(|xml| {
                property(xml, "health", diagnosis.health().as_str())?;
                messages.iter().try_for_each(|message| property(xml, "platform message", &plain(message)))
            })?;
            cases.iter().try_for_each(|case| self.case(xml, case))
        })?;
        Ok(())
    }

    fn case(&self, xml: &mut Xml, examined: &Examined) -> io::Result<()> {
        let rule = examined.rule;
        let name = format!("{}: {}", rule.id, rule.title);
        let class = format!("egret.doctor.{}", plain(&self.examination.environment.name));
        let case = xml
            .create_element("testcase")
            .with_attribute(("name", name.as_str()))
            .with_attribute(("classname", class.as_str()))
            .with_attribute(("time", "0"));
        if let Outcome::NotApplicable(why) = &examined.outcome {
            case.write_inner_content(|xml| {
                xml.create_element("skipped").with_attribute(("message", plain(why).as_str())).write_empty().map(|_| ())
            })?;
            return Ok(());
        }
        let failing: Vec<&Item> = self.failing(examined).collect();
        let all: Vec<&Item> = self.items(examined).collect();
        match (failing.first(), all.is_empty()) {
            (_, true) => case.write_empty()?,
            (None, false) => case.write_inner_content(|xml| {
                xml.create_element("system-out").write_text_content(BytesText::new(&told(&all))).map(|_| ())
            })?,
            (Some(first), false) => case.write_inner_content(|xml| {
                let failure = xml
                    .create_element("failure")
                    .with_attribute(("type", first.severity.as_str()))
                    .with_attribute(("message", plain(&first.what).as_str()));
                failure.write_text_content(BytesText::new(&told(&all))).map(|_| ())
            })?,
        };
        Ok(())
    }

    fn items<'s>(&'s self, examined: &'s Examined) -> impl Iterator<Item = &'s Item> {
        self.examination.items.iter().filter(|item| std::ptr::eq(item.rule, examined.rule))
    }

    fn failing<'s>(&'s self, examined: &'s Examined) -> impl Iterator<Item = &'s Item> {
        self.items(examined).filter(|item| item.severity >= self.threshold)
    }
}

/// A suite of its own for what was tried, a case for each dependency and port.
fn live(xml: &mut Xml, tried: &Tried) -> io::Result<()> {
    let environment = plain(&tried.environment);
    let suite = xml
        .create_element("testsuite")
        .with_attribute(("name", format!("{environment}: live").as_str()))
        .with_attribute(("tests", tried.attempts().count().to_string().as_str()))
        .with_attribute(("failures", tried.not_reached().count().to_string().as_str()))
        .with_attribute(("errors", "0"))
        .with_attribute(("skipped", "0"));
    let class = format!("egret.doctor.{environment}.live");
    suite.write_inner_content(|xml| tried.attempts().try_for_each(|attempt| attempted(xml, &class, &attempt)))?;
    Ok(())
}

fn attempted(xml: &mut Xml, class: &str, attempt: &Attempt<'_>) -> io::Result<()> {
    let seconds = attempt.detail.latency.unwrap_or_default() / 1000.0;
    let case = xml
        .create_element("testcase")
        .with_attribute(("name", attempt.target().as_str()))
        .with_attribute(("classname", class))
        .with_attribute(("time", format!("{seconds:.6}").as_str()));
    if attempt.detail.is_accessible {
        case.write_empty()?;
        return Ok(());
    }
    case.write_inner_content(|xml| {
        let failure = xml.create_element("failure").with_attribute(("type", "not reached"));
        failure.with_attribute(("message", attempt.failure().as_str())).write_empty().map(|_| ())
    })?;
    Ok(())
}

fn property(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    xml.create_element("property").with_attribute(("name", name)).with_attribute(("value", value)).write_empty()?;
    Ok(())
}

fn told(items: &[&Item]) -> String {
    items.iter().map(|item| one(item)).collect::<Vec<_>>().join("\n\n")
}

fn one(item: &Item) -> String {
    let mut lines = vec![format!("{}: {}", item.severity, plain(&item.what))];
    lines.extend(item.at.as_ref().map(|at| format!("at {}  {}", plain(&at.shown()), plain(&item.subject))));
    for evidence in &item.evidence {
        let coverage = evidence.coverage.map(|coverage| format!("{}: ", coverage.as_str())).unwrap_or_default();
        lines.push(format!("  {coverage}{}", plain(&evidence.what)));
    }
    let commands = item.commands.lines().map(plain).map(|line| format!("  {line}"));
    lines.extend(item.by_hand.iter().map(|by_hand| format!("mend: {}", plain(by_hand))));
    if !item.commands.is_empty() {
        lines.push("mend:".to_owned());
        lines.extend(commands);
    }
    lines.extend(item.documents().map(|document| format!("see: {document}")));
    lines.join("\n")
}

/// XML has no way to write most control characters.
fn plain(text: &str) -> String {
    Printable(text).to_string()
}
