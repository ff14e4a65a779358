//! A comparison as it is kept, and what is shown of it.
//!
//! Everything shown, tables, charts and goals, is drawn from the JSON alone, so that it can be drawn again.

mod environment;
mod figure;
mod goals;
mod markdown;
mod pictures;
mod query;
mod readme;
mod table;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::suite::Case;
use crate::workload::Measured;

pub use environment::Environment;
pub use goals::Outcome;
pub use markdown::{markdown, point};
pub use pictures::pictures;
pub use query::median;
pub use readme::renew as renew_readme;
pub use text::text;

/// Counts up when what is kept comes to mean something else.
const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    pub schema: u32,
    pub environment: Environment,
    pub conditions: Conditions,
    /// Of runs whose rounds were added to these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Conditions>,
    /// Who took part, in the order of the tables.
    pub subjects: Vec<Participant>,
    /// What could not be measured here at all, and why.
    pub missing: Vec<Missing>,
    /// Somebody ended it before its time; what there was is kept.
    pub interrupted: bool,
    pub rows: Vec<Row>,
    /// Measurements that came to no end or had errors.
    pub failures: Vec<String>,
    /// As they were met by these rows.
    pub goals: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Schema {
    schema: Option<u32>,
}

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conditions {
    /// The command line, without the program.
    pub command: Vec<String>,
    pub rounds: usize,
    /// Of each measurement.
    pub seconds: f64,
    /// What the proxies allow and deny.
    pub policy: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    pub name: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    pub what: String,
    pub why: String,
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub proxy: String,
    #[serde(flatten)]
    pub case: Case,
    pub round: usize,
    /// Operations that began each second, in an open loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Connections that the origin saw, the warm-up's included.
    pub origin_connections: u64,
    #[serde(flatten)]
    pub measured: Measured,
}

impl Comparison {
    pub fn new(conditions: Conditions, subjects: Vec<Participant>, missing: Vec<Missing>) -> Comparison {
        Comparison {
            schema: SCHEMA,
            environment: Environment::here(),
            conditions,
            joined: Vec::new(),
            subjects,
            missing,
            interrupted: false,
            rows: Vec::new(),
            failures: Vec::new(),
            goals: Vec::new(),
        }
    }

    pub fn load(path: &Path) -> Result<Comparison> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Comparison::parse(&text).with_context(|| format!("{} is no comparison", path.display()))
    }

    fn parse(text: &str) -> Result<Comparison> {
        // What else is in it depends on that.
        let Schema { schema } = serde_json::from_str(text)?;
        let said = schema.map_or("no schema".to_owned(), |schema| format!("schema {schema}"));
        ensure!(schema == Some(SCHEMA), "it is of {said}, and this program reads {SCHEMA}");
        Ok(serde_json::from_str(text)?)
    }

    /// Adds the rounds of another run, of those who took part in this one: what they did as fast as they can. An open loop
    /// has the rate of its own run.
    pub fn join(&mut self, more: Comparison) -> Result<()> {
        let machine = |comparison: &Comparison| {
            let Environment { kernel, cpu_model, cores, .. } = &comparison.environment;
            (kernel.clone(), cpu_model.clone(), *cores)
        };
        ensure!(machine(self) == machine(&more), "the other run was on another machine or kernel");
        let stranger = more.subjects.iter().find(|subject| !self.subjects.contains(subject));
        if let Some(Participant { name, version }) = stranger {
            bail!("{name} ({version}) took part in the other run alone");
        }
        let before = self.rows.iter().map(|row| row.round).max().unwrap_or(0);
        let closed: Vec<Row> = more.rows.into_iter().filter(|row| row.rate.is_none()).collect();
        ensure!(!closed.iter().all(|row| self.has(row)), "that run is in it already, or has nothing to add");
        self.rows.extend(closed.into_iter().map(|row| Row { round: before + row.round, ..row }));
        self.failures.extend(more.failures);
        self.joined.push(more.conditions);
        Ok(())
    }

    /// The same measurement, to the last digit: nothing is measured twice so.
    fn has(&self, row: &Row) -> bool {
        let same = |known: &&Row| known.proxy == row.proxy && known.case == row.case && known.rate == row.rate;
        self.rows.iter().filter(same).any(|known| known.measured == row.measured)
    }

    /// With the goals as these rows meet them. One row a line: a run has hundreds of them.
    pub fn json(&mut self) -> Result<String> {
        self.goals = goals::outcomes(self);
        let mut head = serde_json::to_value(&*self)?;
        let rows = self.rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        head["rows"] = serde_json::Value::Array(Vec::new());
        let rows = format!("\"rows\": [\n    {}\n  ]", rows.join(",\n    "));
        Ok(serde_json::to_string_pretty(&head)?.replace("\"rows\": []", &rows) + "\n")
    }
}

#[cfg(test)]
pub mod tests {
    use super::figure::Figure;
    use super::*;
    use crate::door::Door;
    use crate::workload::{Latency, Workload};

    /// A comparison with these figures of CPU, microseconds: the rounds of each proxy and case.
    pub fn comparison(figures: &[(&str, Case, &[f64])]) -> Comparison {
        let conditions =
            Conditions { command: vec!["compare".into()], rounds: 2, seconds: 1.0, policy: "one name".into() };
        let mut names: Vec<&str> = figures.iter().map(|(name, ..)| *name).collect();
        names.dedup();
        let subjects = names.iter().map(|name| Participant { name: (*name).into(), version: format!("{name} 1.0") });
        let mut comparison = Comparison::new(conditions, subjects.collect(), Vec::new());
        for (proxy, case, rounds) in figures {
            for (cpu, round) in rounds.iter().zip(1..) {
                comparison
                    .rows
                    .extend([row(proxy, *case, round, *cpu, None), row(proxy, *case, round, *cpu, Some(5_000.0))]);
            }
        }
        comparison
    }

    fn row(proxy: &str, case: Case, round: usize, cpu: f64, rate: Option<f64>) -> Row {
        let latency = Latency { p50: 2.0 * cpu, p99: 10.0 * cpu, p999: 50.0 * cpu, max: 99.0 * cpu };
        let measured = Measured {
            operations: 1000,
            seconds: 1.0,
            per_second: Some(rate.unwrap_or(1e6 / cpu)),
            cpu_us_per_operation: (proxy != "direct").then_some(cpu),
            latency: Some(latency),
            pss_kib: Some(4096),
            ..Measured::default()
        };
        Row { proxy: proxy.into(), case, round, rate, origin_connections: 1000, measured }
    }

    pub fn tunnel() -> Case {
        Case::usual(Door::Explicit, Workload::Tunnel)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut written = comparison(&[("egret", tunnel(), &[27.0, 30.0]), ("floor", tunnel(), &[25.0])]);
        let json = written.json().unwrap();
        let mut read = Comparison::parse(&json).unwrap();
        assert_eq!(read.json().unwrap(), json);
        assert_eq!(read.rows.len(), 6);
        assert_eq!(read.rows[1].measured.latency, written.rows[1].measured.latency);
        assert!(json.lines().filter(|line| line.contains("\"proxy\":\"egret\"")).count() == 4, "{json}");
    }

    #[test]
    fn rounds_of_another_run_are_added() {
        let mut first = comparison(&[("egret", tunnel(), &[27.0, 30.0]), ("floor", tunnel(), &[25.0, 20.0])]);
        let more = comparison(&[("egret", tunnel(), &[40.0]), ("floor", tunnel(), &[20.0])]);
        first.join(more.clone()).unwrap();
        assert!(first.clone().join(more).is_err(), "twice the same");
        let rounds = first.rounds("egret", &tunnel(), Figure::Cpu).unwrap();
        assert_eq!((rounds.low, rounds.median, rounds.high), (27.0, 30.0, 40.0));
        assert_eq!(first.ratio("egret", "floor", &tunnel(), Figure::Cpu), Some(1.5));
        assert_eq!(first.rows.iter().filter(|row| row.rate.is_some()).count(), 4, "of the first run alone");
        assert_eq!((first.joined.len(), first.rows.len()), (1, 10));
    }

    #[test]
    fn a_run_with_somebody_else_is_not_added() {
        let mut first = comparison(&[("egret", tunnel(), &[27.0])]);
        let error = first.join(comparison(&[("squid", tunnel(), &[60.0])])).unwrap_err();
        assert_eq!(error.to_string(), "squid (squid 1.0) took part in the other run alone");
    }

    #[test]
    fn another_schema_is_refused() {
        let refused = |json: &str| Comparison::parse(json).unwrap_err().to_string();
        let json = comparison(&[]).json().unwrap().replace("\"schema\": 1", "\"schema\": 99");
        assert_eq!(refused(&json), "it is of schema 99, and this program reads 1");
        // As runs were before there was one.
        assert_eq!(refused("{\"environment\": {}}"), "it is of no schema, and this program reads 1");
    }
}
