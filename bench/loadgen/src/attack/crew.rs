//! Every case by every door that it concerns, several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use super::abilities::Abilities;
use super::bytes::Fill;
use super::case::{Case, Door, Profile};
use super::corpus::Corpus;
use super::judge::Judge;
use super::marker;
use super::report::{Line, Result as Came};
use super::run::{self, Patience, Trace};
use super::subject::Running;
use super::witness::Witness;

/// How long the last bytes of the last case may take to the origin.
const LATE: Duration = Duration::from_millis(500);

/// Those who send the cases.
#[derive(Clone)]
pub struct Crew {
    pub corpus: Arc<Corpus>,
    pub witness: Arc<Witness>,
    pub patience: Patience,
    /// How many of them there are.
    pub jobs: u16,
}

impl Crew {
    /// On threads of its own, which nobody waits for where the work is given up: they end with this program.
    pub async fn attack(&self, running: Running, profile: Profile) -> Result<Vec<Line>> {
        let (told, came) = oneshot::channel();
        let crew = self.clone();
        thread::Builder::new().name("crew".into()).spawn(move || told.send(crew.carry_out(&running, profile)))?;
        came.await.context("the runner ended in a panic")?
    }

    fn carry_out(&self, running: &Running, profile: Profile) -> Result<Vec<Line>> {
        let abilities = Abilities::of(running);
        let flows: Vec<(&Case, Door)> =
            self.corpus.cases().flat_map(|(_, case)| case.doors.iter().map(move |door| (case, *door))).collect();
        let traces = self.traces(&flows, &abilities, running);
        let judge = Judge::of(running, profile)?;
        let line = |(number, (case, door)): (usize, &(&Case, Door))| {
            let trace = traces.get(&number);
            let came = match trace {
                None => Came::NotApplicable(abilities.lacking(case, *door).unwrap_or_default()),
                Some(trace) => judge.judge(case, *door, trace),
            };
            Line::of(case, *door, profile, trace, came)
        };
        Ok(flows.iter().enumerate().map(line).collect())
    }

    /// By the number of the flow. One that the subject is not able to has none.
    fn traces(&self, flows: &[(&Case, Door)], abilities: &Abilities<'_>, running: &Running) -> BTreeMap<usize, Trace> {
        let next = AtomicUsize::new(0);
        let traces = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some((number, (case, door))) = take(&next, flows) {
                        if abilities.lacking(case, door).is_none() {
                            let fill = Fill { marker: marker::next(), door };
                            let trace = run::run(case, &running.ways, &fill, &self.witness, self.patience);
                            traces.lock().unwrap_or_else(PoisonError::into_inner).insert(number, trace);
                        }
                    }
                });
            }
        });
        thread::sleep(LATE);
        let mut traces = traces.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (number, trace) in &mut traces {
            run::look_again(flows[*number].0, &self.witness, trace);
        }
        traces
    }
}

fn take<'a>(next: &AtomicUsize, flows: &[(&'a Case, Door)]) -> Option<(usize, (&'a Case, Door))> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    flows.get(number).map(|flow| (number, *flow))
}
