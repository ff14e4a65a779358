//! What only shows after a while: nothing grows, whatever clients, origins and policies do.
//!
//! Two minutes of mixed load by default, slow enough to run beside other tests. `EGRET_SOAK=30m` makes it as long as
//! that and eight times as fast. The figures are printed at the end, for people and as JSON:
//!
//! ```text
//! EGRET_SOAK=30m cargo test --release --test it a_soak::mixed
//! ```

mod audit;
mod burst;
mod clients;
mod clock;
mod ledger;
mod origin;
mod scene;
mod weight;
mod wire;

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::poll;
use audit::{Audit, Seen};
use clients::{Clients, Counts, Door};
use clock::Rules;
use ledger::Ledger;
use scene::Scene;
use weight::{Samples, Weight, slope, weigh};

/// Between two reloads.
const RELOAD: Duration = Duration::from_secs(1);
/// Between two deaths of an origin, which is dead for a second.
const DEATH: Duration = Duration::from_secs(10);
const ROTATION: Duration = Duration::from_secs(20);
/// Caches and arenas fill in the beginning: this share of the time is not looked at.
const WARM_UP: f64 = 0.25;

/// What memory may seem to have grown by, over all that is looked at: the noise of an allocator.
const GROWTH_KIB: f64 = 4.0 * 1024.0;
/// The same of descriptors, of which there are some in use at any moment.
const GROWTH_DESCRIPTORS: f64 = 30.0;

/// What is opened once and kept: four pipes of two ends on each of two cores, and what resolves names.
const KEPT_OPEN: usize = 24;

/// How long, and how fast.
struct Measure {
    length: Duration,
    /// Between two operations of each of some fifteen clients.
    pause: Duration,
}

/// `EGRET_SOAK` has the length, `30m` or `90s`: it is not asked for beside other tests.
fn measure() -> Measure {
    let Ok(text) = std::env::var("EGRET_SOAK") else {
        return Measure { length: Duration::from_secs(120), pause: Duration::from_millis(120) };
    };
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "m" => 60,
        "s" => 1,
        _ => panic!("EGRET_SOAK is {text}, not 30m or 90s"),
    };
    let length = Duration::from_secs(seconds * number.parse::<u64>().expect("EGRET_SOAK is a number and m or s"));
    Measure { length, pause: Duration::from_millis(15) }
}

/// What came of it.
struct Soaked {
    length: Duration,
    samples: Samples,
    /// Before the load and after it.
    rest: [Weight; 2],
    reloads: u64,
    slowest_reload: Duration,
    deaths: u64,
}

#[test]
fn mixed_load_with_reloads_and_dying_origins() {
    let Measure { length, pause } = measure();
    let mut scene = Scene::new();
    let ledger = Ledger::default();
    let audit = Mutex::new(Audit::begin(scene.egret.path("log.json"), &ledger));
    let clients = Clients {
        scene: &scene,
        ledger: &ledger,
        over: AtomicBool::new(false),
        findings: Mutex::default(),
        counts: Counts::default(),
        pause,
    };
    let soaked = soak(&clients, &audit, length);
    let Clients { findings, counts, .. } = clients;
    scene.egret.signal("TERM");
    assert!(scene.egret.wait().success(), "{}", scene.egret.stderr());
    let (seen, wrong) = audit.into_inner().expect("nobody panics with it").end();
    let figures = soaked.figures(&counts, &seen, &ledger);
    // The harness captures what is printed otherwise.
    let _ = writeln!(std::io::stderr(), "{}\n{figures}", text(&figures));
    assert_eq!(findings.into_inner().expect("nobody panics with it"), Vec::<String>::new(), "clients");
    assert_eq!(wrong, Vec::<String>::new(), "the log");
    assert_eq!(ledger.differences(), Vec::<String>::new(), "clients and the log");
    soaked.assert_nothing_grew(&figures);
    assert_eq!(scene.egret.stderr().lines().filter(|line| line.contains("panic")).count(), 0);
}

fn soak(clients: &Clients<'_>, audit: &Mutex<Audit<'_>>, length: Duration) -> Soaked {
    let scene = clients.scene;
    let idle = scene.beside(|| weigh(&scene.egret));
    let (mut samples, mut reloads, mut deaths) = (Samples::begin(), 0, 0);
    let mut slowest_reload = Duration::ZERO;
    std::thread::scope(|scope| {
        scope.spawn(|| scene.beside(|| load_beside(clients)));
        scope.spawn(|| scene.before(|| load_before(clients)));
        scene.beside(|| {
            let _over = Over(&clients.over);
            let began = Instant::now();
            let (mut next_death, mut next_rotation) = (DEATH, ROTATION);
            let mut rules = Rules::FIRST;
            while began.elapsed() < length {
                std::thread::sleep(RELOAD);
                rules = rules.other();
                slowest_reload = slowest_reload.max(scene.reload(rules));
                reloads += 1;
                if began.elapsed() >= next_death {
                    scene.kill_the_mortal();
                    next_death += DEATH;
                    deaths += 1;
                } else {
                    scene.restart_the_mortal();
                }
                let mut audit = audit.lock().expect("nobody panics with it");
                if began.elapsed() >= next_rotation {
                    audit.rotate();
                    next_rotation += ROTATION;
                }
                audit.read();
                samples.take(&scene.egret);
            }
            scene.restart_the_mortal();
        });
    });
    let settled = poll(|| Some(weigh(&scene.egret)).filter(|now| now.descriptors <= idle.descriptors + KEPT_OPEN));
    let rest = [idle, settled.unwrap_or_else(|| weigh(&scene.egret))];
    Soaked { length, samples, rest, reloads, slowest_reload, deaths }
}

/// Has the clients end, by a panic too: else nobody would hear of it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// All that is done where Egret is.
fn load_beside(clients: &Clients<'_>) {
    std::thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || clients.tunnels(Door::Connect, seed));
            scope.spawn(move || clients.requests(Door::Connect, seed));
        }
        scope.spawn(|| clients.tunnels(Door::Socks, 2));
        scope.spawn(|| clients.questions(3));
        scope.spawn(|| clients.mortals(4));
        scope.spawn(|| clients.long());
        scope.spawn(|| clients.bulk());
        scope.spawn(|| clients.vanishing(Door::Connect, 5));
        scope.spawn(|| clients.vanishing(Door::Socks, 6));
    });
}

/// All that is done by the gateway.
fn load_before(clients: &Clients<'_>) {
    std::thread::scope(|scope| {
        for seed in 10..12 {
            scope.spawn(move || clients.tunnels(Door::Gateway, seed));
        }
        scope.spawn(|| clients.requests(Door::Gateway, 12));
        scope.spawn(|| clients.vanishing(Door::Gateway, 13));
    });
}

impl Soaked {
    fn figures(&self, counts: &Counts, seen: &Seen, ledger: &Ledger) -> Value {
        let Soaked { length, samples, rest: [before, after], reloads, slowest_reload, deaths } = self;
        let minutes = length.as_secs_f64() / 60.0;
        let looked_at = samples.after(minutes * WARM_UP);
        let (settled, settled_denied) = ledger.settled();
        json!({
            "minutes": minutes,
            "memory": {
                "samples": looked_at.len(),
                "kib_a_minute": rounded(slope(looked_at, |weight| weight.resident_kib as f64)),
                "first_kib": looked_at.first().map(|(_, weight)| weight.resident_kib),
                "last_kib": looked_at.last().map(|(_, weight)| weight.resident_kib),
                "most_kib": looked_at.iter().map(|(_, weight)| weight.resident_kib).max(),
                "before_kib": before.resident_kib,
                "after_kib": after.resident_kib,
            },
            "descriptors": {
                "a_minute": rounded(slope(looked_at, |weight| weight.descriptors as f64)),
                "most": looked_at.iter().map(|(_, weight)| weight.descriptors).max(),
                "before": before.descriptors,
                "after": after.descriptors,
            },
            "load": {
                "tunnels": counts.tunnels.load(Relaxed),
                "requests": counts.requests.load(Relaxed),
                "questions": counts.questions.load(Relaxed),
                "pings": counts.pings.load(Relaxed),
                "bulk_mib": counts.bulk_mib.load(Relaxed),
                "vanished": counts.vanished.load(Relaxed),
                "failed_by_dead_origins": counts.failed_origins.load(Relaxed),
                "reloads": reloads,
                "slowest_reload_ms": slowest_reload.as_millis() as u64,
                "deaths_of_origins": deaths,
            },
            "log": {
                "records": seen.records,
                "allowed": seen.allowed,
                "denied": seen.denied,
                "closed": seen.closed,
                "questions": seen.dns,
                "reloads": seen.reloads,
                "rotations": seen.rotations,
                "told_alike_by_clients": settled,
                "denials_told_alike": settled_denied,
            },
        })
    }

    fn assert_nothing_grew(&self, figures: &Value) {
        let minutes = self.length.as_secs_f64() / 60.0 * (1.0 - WARM_UP);
        let grew = |slope: &Value| slope.as_f64().expect("a number") * minutes;
        let memory = grew(&figures["memory"]["kib_a_minute"]);
        assert!(memory <= GROWTH_KIB, "memory grew by {memory} KiB");
        let descriptors = grew(&figures["descriptors"]["a_minute"]);
        assert!(descriptors <= GROWTH_DESCRIPTORS, "descriptors grew by {descriptors}");
        let [before, after] = &self.rest;
        assert!(after.descriptors <= before.descriptors + KEPT_OPEN, "{before:?} became {after:?}");
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A line for each group of figures.
fn text(figures: &Value) -> String {
    let group = |name: &str| {
        let values = figures[name].as_object().expect("a group");
        let shown = values.iter().map(|(name, value)| format!("{} {value}", name.replace('_', " ")));
        format!("{name}: {}", shown.collect::<Vec<_>>().join(", "))
    };
    let groups = ["memory", "descriptors", "load", "log"].map(group);
    format!("soaked for {} minutes\n{}", figures["minutes"], groups.join("\n"))
}
