//! Another policy in force while flows go on: whole or not at all.
//!
//! Asked for by SIGHUP, by `POST /v1/reload` and by a change of any file that the configuration was read from.
//! When anything is wrong the old policy stays, and the error is told.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{
    self, Config, ConfigError, ConfigErrors, DefaultFile, Loaded, Overrides, PolicySource, ProxyConfig,
};
use crate::policy::Policy;
use crate::proxy::{InForceFrom, Shared};
use crate::telemetry::{Event, ReloadRecord};
use crate::vnet::Network;

/// How often files are looked at. A change is taken up once it has held still for as long.
const TICK: Duration = Duration::from_secs(1);
/// More than this of what is gone is counted.
const NAMED: usize = 8;

/// What the policy in force was loaded from.
pub(crate) struct Origin {
    pub(crate) overrides: Overrides,
    /// As for [`config::load`].
    pub(crate) default_file: DefaultFile,
    /// Its rules may be left out.
    pub(crate) config: Config,
    pub(crate) files: Vec<PathBuf>,
}

pub(super) struct Reloader {
    shared: Arc<Shared>,
    overrides: Overrides,
    default_file: DefaultFile,
    current: Mutex<Current>,
    /// Kept by a load until it ends, also where nobody waits for it any more: there is one at a time, however many ask
    /// and leave.
    turn: Arc<Mutex<()>>,
    sources: StdMutex<Arc<[PolicySource]>>,
    network: StdMutex<Option<Arc<Network>>>,
}

struct Current {
    /// Without its rules. Its policy is in force; of the rest, what the process started with.
    config: Config,
    files: Stamps,
    /// The files of the policy in force that held anything.
    filled: HashSet<PathBuf>,
}

pub(super) struct Reloaded {
    pub(super) policy_hash: Arc<str>,
    /// What has to wait for a restart, and what the configuration warns of.
    pub(super) warnings: Vec<String>,
}

pub(super) struct Refused {
    /// Of the policy that stays in force.
    pub(super) policy_hash: Arc<str>,
    pub(super) error: String,
}

impl Reloader {
    pub(super) fn new(shared: Arc<Shared>, origin: Origin) -> Reloader {
        let Origin { overrides, default_file, config, files } = origin;
        let sources = StdMutex::new(config.sources.clone().into());
        let network = StdMutex::new(config.network.clone());
        let current = Mutex::new(Current { files: stamps(&files), filled: filled(&files), config });
        Reloader { shared, overrides, default_file, current, turn: Arc::default(), sources, network }
    }

    /// Where the policy in force comes from.
    pub(super) fn sources(&self) -> Arc<[PolicySource]> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is around the firewall, by the configuration in force.
    pub(super) fn network(&self) -> Option<Arc<Network>> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads whenever that is asked for.
    pub(super) async fn obey(&self, asked: &Notify) {
        loop {
            asked.notified().await;
            // The outcome is in the log and on standard error.
            let _ = self.reload().await;
        }
    }

    /// Reloads when a file has changed and holds still.
    pub(super) async fn watch_files(&self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moving: Option<Stamps> = None;
        loop {
            tick.tick().await;
            let loaded = self.current.lock().await.files.clone();
            let now = stamps(loaded.keys());
            if now == loaded {
                moving = None;
            } else if moving.as_ref() == Some(&now) {
                moving = None;
                // As above.
                let _ = self.reload().await;
            } else {
                moving = Some(now);
            }
        }
    }

    pub(super) async fn reload(&self) -> Result<Reloaded, Refused> {
        // Several configurations on the way: too large for the futures of all who may ask.
        Box::pin(self.load_anew()).await
    }

    async fn load_anew(&self) -> Result<Reloaded, Refused> {
        let mut current = self.current.lock().await;
        // Looked at before the files are read, so that a change meanwhile is a change.
        let before = stamps(current.files.keys());
        let emptied = current.emptied();
        let (overrides, default_file) = (self.overrides.clone(), self.default_file);
        let turn = self.turn.clone().lock_owned().await;
        let loading = tokio::task::spawn_blocking(move || {
            let loaded = load(&overrides, default_file);
            drop(turn);
            loaded
        });
        let (error, met) = match loading.await {
            Ok(Ok((loaded, policy))) => match current.lacks(emptied, &loaded.files) {
                None => return Ok(Box::pin(self.take_up(&mut current, &before, loaded, policy)).await),
                Some(lack) => (lack, loaded.files),
            },
            Ok(Err(errors)) => (errors.to_string(), errors.files),
            Err(panic) => (format!("the configuration could not be read: {panic}"), Vec::new()),
        };
        // The same files are not tried again. The one to mend may be an old one or one met just now.
        current.files = stamps(met);
        current.files.extend(before);
        Err(self.refuse(error).await)
    }

    async fn take_up(&self, current: &mut Current, before: &Stamps, loaded: Loaded, policy: Policy) -> Reloaded {
        let Loaded { config, warnings, texts: _, infos: _, read: _, files, admin_is_default: _, digest: _ } = loaded;
        let mut warnings: Vec<String> = warnings.iter().map(ConfigError::one_line).collect();
        let later = needs_restart(&current.config, &config);
        if !later.is_empty() {
            warnings.push(format!("what changed of {} takes a restart", later.join(", ")));
        }
        let active = self.shared.active();
        warnings.extend(gone(active.network(), config.network.as_deref()));
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let policy_hash = policy.hash().clone();
        // The same policy keeps its hit counts: SIGHUP may have been for the log alone.
        let Config { profile, network, enforce, .. } = config;
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = network.clone();
        if active.policy.hash() != policy.hash() || active.profile != profile || !active.is_in(&network, enforce) {
            self.shared.replace(InForceFrom { policy, profile, network, enforce });
        }
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = config.sources.into();
        current.files = stamps(&files);
        current.filled = filled(&files);
        current
            .files
            .extend(before.iter().filter(|(path, _)| files.contains(path)).map(|(path, was)| (path.clone(), *was)));
        self.record(&policy_hash, None).await;
        Reloaded { policy_hash, warnings }
    }

    async fn refuse(&self, error: String) -> Refused {
        tracing::error!("the reload is refused, the old policy stays in force:\n{error}");
        let policy_hash = self.shared.active().policy.hash().clone();
        self.record(&policy_hash, Some(error.clone().into())).await;
        Refused { policy_hash, error }
    }

    async fn record(&self, policy_hash: &Arc<str>, error: Option<Box<str>>) {
        let record = ReloadRecord { ts: Timestamp::now(), policy_hash: policy_hash.clone(), error };
        self.shared.log.record(Event::Reload(record)).await;
    }
}

impl Current {
    /// Files of the policy in force without a byte in them by now. A full disk leaves such, and an editor that has only
    /// begun: to take that for a policy would open, or shut, what nobody meant to. A feed is no other: it denies, and a
    /// download into its place leaves it empty for as long as that takes.
    fn emptied(&self) -> HashSet<PathBuf> {
        self.filled.iter().filter(|path| size(path) == Some(0)).cloned().collect()
    }

    /// What is wrong with a configuration that was read of these files, though each of them is right by itself.
    fn lacks(&self, mut emptied: HashSet<PathBuf>, files: &[PathBuf]) -> Option<String> {
        emptied.extend(self.emptied());
        if let Some(path) = files.iter().find(|path| emptied.contains(*path)) {
            let mend = "write it again, or a comment (`#`) into it where nothing is to be in it";
            return Some(format!("`{}`: it is empty, and was not before\n  = mend: {mend}", path.display()));
        }
        // Without it there is a policy as well: the built-in one.
        let main = Path::new(config::DEFAULT_FILE);
        (self.filled.contains(main) && files.iter().all(|path| path != main)).then(|| {
            format!("`{}`: there is no such file any more\n  = mend: write it again, or restart", main.display())
        })
    }
}

fn filled(files: &[PathBuf]) -> HashSet<PathBuf> {
    files.iter().filter(|path| size(path).is_some_and(|size| size > 0)).cloned().collect()
}

/// Of a file; None of what is no file, such as a pipe, or cannot be seen.
fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The rules go into the policy; the rest is left.
fn load(overrides: &Overrides, default_file: DefaultFile) -> Result<(Loaded, Policy), ConfigErrors> {
    let mut loaded = config::load(overrides, default_file)?;
    let rules = std::mem::take(&mut loaded.config.rules);
    let policy = Policy::compile(Arc::new(rules), loaded.config.switches());
    Ok((loaded, policy))
}

/// What enforced something, and is no longer there: an editor may have written half a file.
fn gone(old: Option<&Network>, new: Option<&Network>) -> Option<String> {
    let names = |network: Option<&Network>| {
        let topology = network.map(Network::topology);
        let subnets = topology.into_iter().flat_map(|it| {
            let all =
                it.virtual_networks.iter().flat_map(|network| network.subnets.iter().map(move |it| (network, it)));
            all.map(|(network, subnet)| format!("subnet {}/{}", network.name, subnet.name))
        });
        let groups = topology.into_iter().flat_map(|it| it.security_groups.iter());
        let tables = topology.into_iter().flat_map(|it| it.route_tables.iter());
        let groups = groups.map(|group| format!("network security group {}", group.name));
        subnets.chain(groups).chain(tables.map(|table| format!("route table {}", table.name))).collect::<Vec<_>>()
    };
    let left = names(new);
    let gone: Vec<String> = names(old).into_iter().filter(|name| !left.contains(name)).collect();
    let (shown, more) = gone.split_at(gone.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    (!gone.is_empty()).then(|| format!("the topology holds no longer: {}{more}", shown.join(", ")))
}

/// What is only read at the start, and differs.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let ProxyConfig { listen, open, credentials, workers, limits, timeouts, reason_headers, ech, http } = &old.proxy;
    let proxy = &new.proxy;
    let sections = [
        ("the listeners", *listen != proxy.listen || *open != proxy.open),
        ("the credentials", *credentials != proxy.credentials),
        ("the workers", *workers != proxy.workers),
        ("the limits", differ(limits, &proxy.limits)),
        ("the timeouts", differ(timeouts, &proxy.timeouts)),
        ("reason_headers", *reason_headers != proxy.reason_headers),
        ("ech", *ech != proxy.ech),
        ("forwarded_for or rewrite", *http != proxy.http),
        ("the admin server", differ(&old.admin, &new.admin)),
        ("health", old.health != new.health),
        ("dns", differ(&old.dns, &new.dns)),
        ("the log", differ(&old.log, &new.log)),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// These are printed whole.
fn differ<T: std::fmt::Debug>(old: &T, new: &T) -> bool {
    format!("{old:?}") != format!("{new:?}")
}

/// What tells one version of a file from another; None where it cannot be seen.
type Stamp = Option<(SystemTime, u64)>;
type Stamps = HashMap<PathBuf, Stamp>;

fn stamps<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Stamps {
    files.into_iter().map(|path| (path.as_ref().to_owned(), stamp(path.as_ref()))).collect()
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
