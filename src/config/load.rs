//! Finds and reads the files that make up a configuration. The only place in `config` with a file system.

mod policies;
mod topology;

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::allowlist::Catalogue;
use crate::azure::json::Node;
use crate::azure::read::{Read as AzureRead, ReadSummary};
use crate::azure::shape::{self, NotText};
use crate::policy::{ApplicationRule, Feed, PolicyRules, RuleSet, ServiceEndpoint, Switches, ThreatIntel};

use super::azure::{self, AzureFiles, AzureReference, OpenLink};
use super::catalogue::{self, CatalogueSettings, TagFile};
use super::error::{ConfigError, ConfigErrors, Findings, Parts, Place, Placed, Problem, Remarks, Source, Texts};
use super::file::{self, File, TemplateInputs};
use super::honoured::Honoured;
use super::resolved::{Config, Credentials, PolicySource};
use super::settings::{ResolvedSettings, Settings, many};
use super::threat::{FeedReader, ThreatSettings};
use super::values::{self, ServiceEndpoints};
use topology::Around;

/// What a configuration is loaded for. What nobody says depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    #[default]
    Serve,
    /// One command: what is denied fails at once, and a name that no rule could allow is not resolved.
    Run,
}

/// By what the files of `--topology` are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TopologyBy {
    #[default]
    Flag,
    /// `--ase`, the same by another name.
    Ase,
    /// `EGRET_TOPOLOGY`
    Variable,
}

impl TopologyBy {
    fn as_str(self) -> &'static str {
        match self {
            TopologyBy::Flag => "--topology",
            TopologyBy::Ase => "--ase",
            TopologyBy::Variable => "EGRET_TOPOLOGY",
        }
    }
}

/// Whether [`DEFAULT_FILE`] of the current folder counts where no `--config` names another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultFile {
    /// Where it is there.
    Read,
    Ignored,
}

/// What the command line and the environment say, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub purpose: Purpose,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--policy`: instead of the file's `policy`, where there is any.
    pub policy: Vec<String>,
    /// `--parameters`: files with the parameters of templates.
    pub parameters: Vec<String>,
    /// `--set NAME=VALUE`: what templates leave open.
    pub set: Vec<String>,
    /// `--topology`: files, instead of the file's `topology`, where there is any.
    pub topology: Vec<String>,
    /// How these were given, for messages.
    pub topology_by: TopologyBy,
    /// Files of the topology that are words of the command line: beside those of `--topology`.
    pub topology_words: Vec<String>,
    pub service_tags: Option<PathBuf>,
    /// `--tag NAME=FILE`
    pub tags: Vec<String>,
    /// `off`, `alert` or `deny`
    pub threat_intel: Option<String>,
    /// `--threat-feed`: files.
    pub threat_feed: Vec<String>,
    /// `--allow`, `--deny`, `--resolve`, `--connect-to`, `--without`, `--log`: added to what the file says.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    pub resolve: Vec<String>,
    pub connect_to: Vec<String>,
    pub without: Vec<String>,
    pub log: Vec<String>,
    /// `--log-format`: for the sinks of `--log`; without any, for all.
    pub log_format: Option<String>,
    pub log_on_error: Option<String>,
    pub log_categories: Vec<String>,
    pub listen: Vec<String>,
    pub profile: Option<String>,
    pub private_addresses: Option<String>,
    pub enforce: Option<String>,
    pub client_subnet: Option<String>,
    pub service_endpoints: Option<String>,
    pub open: bool,
    /// `--auth user:password`
    pub auth: Option<String>,
    /// 0: one for each core.
    pub workers: Option<usize>,
    /// `--dns-server`
    pub dns_servers: Vec<String>,
    pub admin: Option<String>,
    pub admin_token: Option<String>,
    /// Where the gateway listens.
    pub gateway: Vec<String>,
    pub gateway_mode: Option<String>,
    pub gateway_rules: Option<String>,
    /// `--interface`
    pub interfaces: Vec<String>,
    /// Where the DNS proxy listens.
    pub dns: Vec<String>,
    pub dns_mode: Option<String>,
    pub dns_synthetic: Option<String>,
}

/// A configuration with what went into it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<ConfigError>,
    /// What is read, not emulated, and the like: for who asks for everything.
    pub infos: Vec<ConfigError>,
    /// How much of Azure's shapes was read.
    pub read: ReadSummary,
    /// The files in which rules stand.
    pub texts: Texts,
    /// Every file that was read: a change in one is a reason to load again.
    pub files: Vec<PathBuf>,
    /// Nobody said where the admin server listens.
    pub admin_is_default: bool,
    /// Twelve hexadecimal digits; two configurations with the same do the same.
    pub digest: String,
}

/// Read where no `--config` is given.
pub const DEFAULT_FILE: &str = "egret.toml";
/// A file larger than this is no configuration.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// A feed of threat intelligence has lines by the million.
const MAX_FEED: u64 = 256 * 1024 * 1024;
/// A file in one of Azure's shapes larger than this is no policy: a group has 2 MB at most, a policy ninety of them.
const MAX_AZURE_FILE: u64 = 32 * 1024 * 1024;
/// Templates that link to templates, as often as that.
const MAX_LINK_ROUNDS: usize = 16;

/// Loads what flags and files say.
///
/// # Errors
/// Everything that is wrong, in all the files.
pub fn load(overrides: &Overrides, default_file: DefaultFile) -> Result<Loaded, ConfigErrors> {
    let (loader, settings) = Loader::read(overrides, default_file);
    loader.finish(settings)
}

/// What can be said of files, all of which may not be readable.
#[derive(Debug)]
pub struct Survey {
    /// What could be read.
    pub rules: RuleSet,
    /// What the rules were made from, in order.
    pub sources: Vec<PolicySource>,
    pub errors: Vec<ConfigError>,
    /// Errors under the profile `strict`, warnings under `azure`.
    pub doubts: Vec<ConfigError>,
    pub warnings: Vec<ConfigError>,
    /// What is read, not emulated, and the like.
    pub infos: Vec<ConfigError>,
    pub texts: Texts,
    /// What the rules are to be compiled with.
    pub switches: Switches,
}

/// As [`load`], and nothing that is wrong keeps the rest from being looked at.
pub fn survey(overrides: &Overrides, default_file: DefaultFile) -> Survey {
    let (mut loader, mut settings) = Loader::read(overrides, default_file);
    let (sources, policies): (Vec<_>, Vec<_>) = loader.settle_parts().into_iter().unzip();
    let threat_settings = std::mem::take(&mut settings.threat_intel);
    let feed = loader.read_feeds(&threat_settings);
    let texts = Texts(loader.texts.clone());
    let threat_intel = threat_settings.resolve(&policies, feed, &texts, &mut loader.findings);
    let rules = loader.rule_set(policies, threat_intel, &settings);
    let Parts { errors, doubts, warnings, infos } = loader.findings.into_parts();
    // What is wrong with a proxy's settings is no matter of its policy.
    let resolved = settings.resolve(&mut Findings::default());
    let switches = Switches { private: resolved.private_addresses, dnat_deny: resolved.gateway.dnat_deny };
    Survey { rules, sources, errors, doubts, warnings, infos, texts, switches }
}

/// Collects policies in the order of their precedence.
#[derive(Default)]
struct Loader {
    findings: Findings,
    files: Vec<PathBuf>,
    texts: Vec<Arc<Source>>,
    catalogue: Catalogue,
    /// The files that are being read, each named by the one before it.
    open: Vec<PathBuf>,
    /// What takes part already, by canonical path or name.
    done: Vec<PathBuf>,
    without: Vec<Placed<String>>,
    /// For each of `without`, whether a policy had that part; else why not.
    parts_found: Vec<Result<(), String>>,
    parts: Vec<Part>,
    azure: AzureFiles,
    read: ReadSummary,
    infrastructure: Vec<ApplicationRule>,
    service_endpoints: Vec<ServiceEndpoint>,
    around: Around,
}

/// What takes part, in the order of precedence.
enum Part {
    Ready(Box<(PolicySource, PolicyRules)>),
    /// Of Azure's files all are read together, when all are known.
    Azure(AzureReference),
    /// A file of the topology, whose policies count if it holds any.
    Around(AzureReference),
}

impl Loader {
    /// Reads what flags and files say.
    fn read(overrides: &Overrides, default_file: DefaultFile) -> (Loader, Settings) {
        let mut loader = Loader::default();
        let path = match &overrides.config {
            Some(path) => Some(path.clone()),
            None => {
                (default_file == DefaultFile::Read).then(|| PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists())
            }
        };
        let main = match &path {
            Some(path) => loader.read_main(path, overrides).unwrap_or_default(),
            None => {
                let said = CatalogueSettings::of_flags(overrides, &mut loader.findings);
                loader.read_catalogue(said);
                File::default()
            }
        };
        let File { rules, settings, without, inputs, topology, beside_rules: _ } = main;
        let flags = Settings::of_flags(overrides, &mut loader.findings);
        let settings = flags.over(settings);
        loader.without = distinct(many("--without", &overrides.without).into_iter().chain(without));
        loader.add_topologies(overrides, &topology, path.as_deref());
        loader.add_main(rules, overrides, path.clone());
        loader.add_inputs(inputs, overrides, path.as_deref());
        loader.report_unused_parts();
        (loader, settings)
    }

    /// What templates are given: the file's own first, so that flags win.
    fn add_inputs(&mut self, inputs: TemplateInputs, overrides: &Overrides, path: Option<&Path>) {
        let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
        let TemplateInputs { parameters, set } = inputs;
        let of_file = parameters.iter().map(|name| (values::join(folder, &name.value), &name.place));
        let of_flags = many("--parameters", &overrides.parameters);
        let of_flags = of_flags.iter().map(|name| (PathBuf::from(&name.value), &name.place));
        for (path, place) in of_file.chain(of_flags) {
            let Some(text) = self.read_text(&path, place, MAX_AZURE_FILE) else { continue };
            if let Some(source) = self.register(&path, text) {
                self.azure.add_parameters(&source, &mut self.findings);
            }
        }
        self.azure.add_set(&set, &mut self.findings);
        self.azure.add_set(&many("--set", &overrides.set), &mut self.findings);
        if self.azure.is_empty() && self.findings.is_clean() {
            let given: Vec<Placed<String>> =
                parameters.into_iter().chain(many("--parameters", &overrides.parameters)).collect();
            self.azure.refuse_inputs(&given, &mut self.findings);
        }
    }

    /// Templates may link to files that link to others.
    fn read_azure(&mut self) -> AzureRead {
        for _ in 0..MAX_LINK_ROUNDS {
            let links = self.azure.open_links();
            if links.is_empty() {
                break;
            }
            for link in links {
                let documents = self.linked_documents(&link);
                self.azure.follow(link, documents);
            }
        }
        self.azure.read(&self.catalogue, &mut self.findings, &self.texts)
    }

    /// What lies beside the template that links to it, else a file that was given and has such a name.
    fn linked_documents(&mut self, link: &OpenLink) -> Arc<[Node]> {
        let from = self.texts.get(link.from as usize).map(|source| PathBuf::from(source.name())).unwrap_or_default();
        let folder = from.parent().unwrap_or(Path::new(""));
        let found = azure::beside(&link.to).into_iter().map(|part| folder.join(part)).find(|path| path.is_file());
        match found {
            Some(path) if self.azure.find(&path).is_none() => {
                let source = self.read_text(&path, &Place::Flag("--policy"), MAX_AZURE_FILE);
                let source = source.and_then(|text| self.register(&path, text));
                source.map(|source| azure::parse(&source, &mut self.findings)).unwrap_or_default().into()
            }
            _ => self.azure.named_like(link).unwrap_or_else(|| Arc::from([])),
        }
    }

    /// Only where nothing else is wrong: a policy that could not be read may be the one that was meant.
    fn report_unused_parts(&mut self) {
        if !self.findings.is_clean() || self.around.is_default_due() {
            return;
        }
        for (part, found) in self.without.iter().zip(&self.parts_found) {
            if let Err(why) = found {
                let text = &part.value;
                let what = if why.contains(&format!("`{text}`")) { why.clone() } else { format!("`{text}`: {why}") };
                self.findings.error(&part.place, Problem::new(what).mend("leave it out"));
            }
        }
    }

    fn finish(mut self, mut settings: Settings) -> Result<Loaded, ConfigErrors> {
        let (sources, policies): (Vec<_>, Vec<_>) = self.settle_parts().into_iter().unzip();
        let credentials = settings.credentials_file.as_ref().and_then(|file| self.read_credentials(file));
        let token = settings.token_file.as_ref().and_then(|file| self.read_token(file));
        let threat_settings = std::mem::take(&mut settings.threat_intel);
        let feed = self.read_feeds(&threat_settings);
        let honoured = Honoured::of(&policies);
        let settings = settings.with_secrets(credentials, token).over_policies(honoured, &mut self.findings);
        let network = self.network(settings.client_subnet.as_ref());
        let texts = Texts(self.texts.clone());
        let threat_intel = threat_settings.resolve(&policies, feed, &texts, &mut self.findings);
        let rules = self.rule_set(policies, threat_intel, &settings);
        let mut findings = self.findings;
        refuse_shared_logs(&settings, &mut findings);
        let admin_is_default = settings.admin_is_default();
        let ResolvedSettings { profile, private_addresses, enforce, proxy, gateway, admin, dns, health, log } =
            settings.resolve(&mut findings);
        findings.settle(profile);
        let Remarks { warnings, infos } = findings.finish(&self.files)?;
        let config = Config {
            rules,
            network,
            sources,
            profile,
            private_addresses,
            enforce,
            proxy,
            gateway,
            admin,
            dns,
            health,
            log,
        };
        let digest = digest(&config);
        let (files, read) = (self.files, self.read);
        Ok(Loaded { config, warnings, infos, read, texts, files, admin_is_default, digest })
    }

    /// The main file says what tags its own rules, and those of policies, stand for.
    fn read_main(&mut self, path: &Path, overrides: &Overrides) -> Option<File> {
        let flags = CatalogueSettings::of_flags(overrides, &mut self.findings);
        let source = self.read_source(path, &Place::Flag("--config"));
        let file = source.as_ref().map(|source| CatalogueSettings::of_file(source, &mut self.findings));
        self.read_catalogue(flags.over(file.unwrap_or_default()));
        Some(file::read(&source?, &self.catalogue, &mut self.findings))
    }

    fn read_catalogue(&mut self, said: CatalogueSettings) {
        let CatalogueSettings { service_tags, tags } = said;
        if let Some(Placed { value: path, place }) = service_tags
            && let Some(text) = self.read_text(&path, &place, MAX_FILE)
        {
            catalogue::read_service_tags(&path, text, &mut self.catalogue, &mut self.findings);
        }
        for TagFile { name, file: Placed { value: path, place } } in tags {
            if let Some(text) = self.read_text(&path, &place, MAX_FILE) {
                catalogue::read_tag(&name, &path, text, &mut self.catalogue, &mut self.findings);
            }
        }
    }

    fn rule_set(&mut self, policies: Vec<PolicyRules>, threat_intel: ThreatIntel, settings: &Settings) -> RuleSet {
        let auto = settings.service_endpoints != Some(ServiceEndpoints::None);
        let service_endpoints = if auto { std::mem::take(&mut self.service_endpoints) } else { Vec::new() };
        RuleSet { policies, infrastructure: std::mem::take(&mut self.infrastructure), service_endpoints, threat_intel }
    }

    fn read_source(&mut self, path: &Path, place: &Place) -> Option<Arc<Source>> {
        let text = self.read_text(path, place, MAX_FILE)?;
        self.register(path, text)
    }

    /// Gives a text the number that spots in it have.
    fn register(&mut self, path: &Path, text: String) -> Option<Arc<Source>> {
        let number = u32::try_from(self.texts.len()).ok()?;
        let source = Source::new(number, path.display().to_string(), text);
        self.texts.push(Arc::clone(&source));
        Some(source)
    }

    fn read_credentials(&mut self, file: &Placed<PathBuf>) -> Option<Credentials> {
        let text = self.read_text(&file.value, &file.place, MAX_FILE)?;
        let line = Placed { value: text.trim_end_matches(['\r', '\n']).to_owned(), place: file.place.clone() };
        line.read(&mut self.findings, |line| {
            values::credentials(line).map_err(|_| {
                let name = file.value.display();
                Problem::new(format!("`{name}` holds no credentials")).mend("write one line, user:password, into it")
            })
        })
    }

    fn read_token(&mut self, file: &Placed<PathBuf>) -> Option<String> {
        let text = self.read_text(&file.value, &file.place, MAX_FILE)?;
        let text = Placed { value: text, place: file.place.clone() };
        text.read(&mut self.findings, |text| {
            values::token(text).map_err(|_| Problem::new(format!("`{}` holds no token", file.value.display())))
        })
    }

    fn read_feeds(&mut self, settings: &ThreatSettings) -> Feed {
        let mut reader = FeedReader::default();
        for Placed { value: path, place } in &settings.feeds {
            if let Some(text) = self.read_text(path, place, MAX_FEED) {
                reader.read(path, text, &mut self.findings);
            }
        }
        reader.finish()
    }

    fn read_text(&mut self, path: &Path, place: &Place, most: u64) -> Option<String> {
        self.files.push(path.to_owned());
        let text =
            read_limited(path, most).map_err(|why| Problem::new(format!("cannot read `{}`: {why}", path.display())));
        text.map_err(|problem| self.findings.error(place, problem)).ok()
    }
}

/// Each part once, where it is named first.
fn distinct(parts: impl Iterator<Item = Placed<String>>) -> Vec<Placed<String>> {
    let mut kept: Vec<Placed<String>> = Vec::new();
    for part in parts {
        if kept.iter().all(|known| known.value != part.value) {
            kept.push(part);
        }
    }
    kept
}

/// How long a pipe may take that stands where a file should.
const PATIENCE: Duration = Duration::from_secs(10);

fn read_limited(path: &Path, most: u64) -> Result<String, String> {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let bytes = if is_file { read_bytes(path, most) } else { read_patiently(path, most) };
    let bytes = bytes?;
    if bytes.len() as u64 > most {
        return Err(format!("it is larger than {} MiB", most >> 20));
    }
    String::from_utf8(bytes).or_else(|error| in_other_letters(&error))
}

fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| io_words(&error))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| io_words(&error))?;
    Ok(bytes)
}

/// A pipe that nobody writes to would be waited for without end. Its thread is left behind: it holds nothing that anybody
/// else wants.
fn read_patiently(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let (sender, read) = std::sync::mpsc::sync_channel(1);
    let own = path.to_owned();
    std::thread::spawn(move || sender.send(read_bytes(&own, most)));
    let late = |_| format!("nothing came of it within {} s: it is no file", PATIENCE.as_secs());
    read.recv_timeout(PATIENCE).map_err(late)?
}

/// PowerShell writes UTF-16.
fn in_other_letters(error: &std::string::FromUtf8Error) -> Result<String, String> {
    shape::decode(error.as_bytes()).map_err(|other| match other {
        NotText::Encoding(_) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            format!("line {line} is not UTF-8")
        }
        archive => archive.to_string(),
    })
}

/// In lower case, without the system's error number.
fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Two writers to one file would break each other's lines.
fn refuse_shared_logs(settings: &Settings, findings: &mut Findings) {
    let mut seen = Vec::new();
    for (path, place) in settings.log_files() {
        let file = canonical_to_be(path);
        if seen.contains(&file) {
            let problem = Problem::new(format!("the log goes to `{}` already", path.display()));
            findings.error(place, problem.mend("leave it out, or name another file"));
        }
        seen.push(file);
    }
}

/// As [`canonical`], of a file that may not be there yet.
fn canonical_to_be(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or("egret".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Of the configuration as it is, not of the files: comments and order of keys do not count.
fn digest(config: &Config) -> String {
    struct Hashed(Sha256);
    impl std::fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text);
            Ok(())
        }
    }
    let mut hashed = Hashed(Sha256::new());
    // A network holds indexes, and what it has worked out so far.
    let bare = Config { network: None, ..config.clone() };
    write!(hashed, "{bare:?}").expect("a hash takes any text");
    if let Some(network) = &config.network {
        write!(hashed, "{:?}", network.topology()).expect("a hash takes any text");
        if let Some(place) = network.client_subnet() {
            write!(hashed, "{place:?}").expect("a hash takes any text");
        }
    }
    let secret = config.proxy.credentials.as_ref().map(|credentials| &credentials.password);
    write!(hashed, "{secret:?}").expect("a hash takes any text");
    hashed.0.finalize().iter().take(6).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
