//! Threat intelligence as it is in force: what the policies say of it, what the operator says, and the feed. Pure: the
//! text of feeds is given.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::{
    AddressRange, AddressSet, Feed, FqdnPattern, Indicator, PolicyRules, Sign, ThreatIntel, ThreatMode, Tier,
};

use super::error::{Findings, Place, Placed, Problem, Source, Texts};
use super::load::Overrides;
use super::reader::Section;
use super::values;

/// What the operator says: it is for the process, not for a policy.
#[derive(Debug, Default)]
pub(super) struct ThreatSettings {
    mode: Option<Placed<ThreatMode>>,
    /// Files, in their order.
    pub feeds: Vec<Placed<PathBuf>>,
    allowed_fqdns: Vec<FqdnPattern>,
    allowed_addresses: Vec<AddressRange>,
}

impl ThreatSettings {
    pub(super) fn of_file(section: &Section, findings: &mut Findings) -> ThreatSettings {
        let feeds = section.items("feed").into_iter();
        let mut settings = ThreatSettings {
            mode: section.text("mode").and_then(|mode| read_mode(mode, findings)),
            feeds: feeds.map(|feed| feed.map(|path| values::join(section.folder(), &path))).collect(),
            ..ThreatSettings::default()
        };
        for item in section.items("allow") {
            match item.read(findings, |text| read_allowed(text)) {
                Some(Sign::Name(pattern)) => settings.allowed_fqdns.push(pattern),
                Some(Sign::Addresses(range)) => settings.allowed_addresses.push(range),
                Some(Sign::Url(_)) | None => {}
            }
        }
        settings
    }

    pub(super) fn of_flags(flags: &Overrides, findings: &mut Findings) -> ThreatSettings {
        let mode = super::settings::one("--threat-intel", &flags.threat_intel);
        let feeds = super::settings::many("--threat-feed", &flags.threat_feed).into_iter();
        ThreatSettings {
            mode: mode.and_then(|mode| read_mode(mode, findings)),
            feeds: feeds.map(|feed| feed.map(PathBuf::from)).collect(),
            ..ThreatSettings::default()
        }
    }

    /// The mode of flags beats the file's; all else adds up.
    pub(super) fn over(self, file: ThreatSettings) -> ThreatSettings {
        ThreatSettings {
            mode: self.mode.or(file.mode),
            feeds: self.feeds.into_iter().chain(file.feeds).collect(),
            allowed_fqdns: file.allowed_fqdns,
            allowed_addresses: file.allowed_addresses,
        }
    }

    /// What is in force: the operator's mode, else the strictest that a policy has (a child can only be stricter than
    /// its parent), else Alert, as in Azure; everybody's allowlists; the feed.
    pub(super) fn resolve(
        self,
        policies: &[PolicyRules],
        feed: Feed,
        texts: &Texts,
        findings: &mut Findings,
    ) -> ThreatIntel {
        let ThreatSettings { mode, feeds: _, mut allowed_fqdns, allowed_addresses } = self;
        let mode = match mode {
            Some(mode) => on_basic(mode, policies, findings),
            None => mode_of(policies, texts, findings),
        };
        let mut addresses = AddressSet::default();
        allowed_addresses.into_iter().for_each(|range| addresses.insert(range));
        for said in policies.iter().map(|policy| &policy.settings.threat_intel) {
            allowed_fqdns.extend(said.allowed_fqdns.iter().cloned());
            addresses.extend(&said.allowed_addresses);
        }
        ThreatIntel { mode, allowed_fqdns, allowed_addresses: addresses, feed: Arc::new(feed) }
    }
}

fn read_mode(text: Placed<String>, findings: &mut Findings) -> Option<Placed<ThreatMode>> {
    let value = text.read(findings, |text| values::pick(values::THREAT_MODES, text))?;
    Some(Placed { value, place: text.place })
}

fn read_allowed(text: &str) -> Result<Sign, Problem> {
    match Sign::parse(text.trim()) {
        Ok(Sign::Url(_)) => Err(Problem::new(format!("`{text}` is a URL")).mend("exempt its host")),
        Ok(sign) => Ok(sign),
        Err(error) => Err(Problem::new(error.to_string())),
    }
}

/// Policies of the tier Basic only alert (azure-docs, features-by-sku.md).
fn mode_of(policies: &[PolicyRules], texts: &Texts, findings: &mut Findings) -> ThreatMode {
    let mode = policies.iter().filter_map(capped).max().unwrap_or(ThreatMode::Alert);
    let held = policies.iter().find(|policy| capped(policy) != policy.settings.threat_intel.mode);
    if let Some(policy) = held.filter(|_| mode != ThreatMode::Deny) {
        let what = format!(
            "the policy `{}` is of the tier Basic, whose threat intelligence denies nothing: it alerts",
            policy.name
        );
        let mend = "to deny all the same, say --threat-intel deny";
        let place = texts.place(policy.at).unwrap_or(Place::Flag("--policy"));
        findings.warn(&place, Problem::new(what).mend(mend));
    }
    mode
}

/// What a policy says, as far as its tier does it.
fn capped(policy: &PolicyRules) -> Option<ThreatMode> {
    match (policy.settings.threat_intel.mode, policy.settings.tier) {
        (Some(ThreatMode::Deny), Some(Tier::Basic)) => Some(ThreatMode::Alert),
        (mode, _) => mode,
    }
}

/// The operator's word counts on any tier.
fn on_basic(mode: Placed<ThreatMode>, policies: &[PolicyRules], findings: &mut Findings) -> ThreatMode {
    if let (ThreatMode::Deny, Some(policy)) = (mode.value, basic(policies)) {
        let what = format!("Azure Firewall Basic, the tier of the policy `{}`, would alert only", policy.name);
        findings.warn(&mode.place, Problem::new(what));
    }
    mode.value
}

fn basic(policies: &[PolicyRules]) -> Option<&PolicyRules> {
    policies.iter().find(|policy| policy.settings.tier == Some(Tier::Basic))
}

/// Bad lines of one file that are looked for: what has more is no feed.
const BAD_LINES: usize = 200;

/// Indicators as feeds list them: the test name that Azure knows, then those of files in their order.
pub(super) struct FeedReader {
    indicators: Vec<Indicator>,
}

impl Default for FeedReader {
    fn default() -> FeedReader {
        FeedReader { indicators: vec![Indicator::test()] }
    }
}

impl FeedReader {
    /// Reads one indicator a line, each with its description behind it if it has one.
    pub(super) fn read(&mut self, path: &Path, text: String, findings: &mut Findings) {
        let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut described = Described::of(format!("listed in {file}").into());
        let mut bad: Vec<(Range<usize>, Problem)> = Vec::new();
        let mut begin = 0;
        for line in text.split_inclusive('\n') {
            if let Some(entry) = Entry::of(line, begin)
                && let Err(problem) = self.add(&entry, &mut described)
            {
                bad.push((entry.span, problem));
            }
            begin += line.len();
            if self.indicators.len() > Feed::MOST + 1 || bad.len() == BAD_LINES {
                break;
            }
        }
        report(path, text, bad, findings);
    }

    fn add(&mut self, entry: &Entry<'_>, described: &mut Described) -> Result<(), Problem> {
        let sign = Sign::parse(entry.sign).map_err(|error| Problem::new(error.to_string()))?;
        self.indicators.push(Indicator { sign, description: described.by(entry.said) });
        // The test name is none of the user's.
        if self.indicators.len() > Feed::MOST + 1 {
            return Err(Problem::new(format!("there are more than {} indicators", Feed::MOST)));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Feed {
        Feed::new(self.indicators)
    }
}

fn report(path: &Path, text: String, bad: Vec<(Range<usize>, Problem)>, findings: &mut Findings) {
    if bad.is_empty() {
        return;
    }
    // In no list of files: nothing but these errors points into it.
    let source = Source::new(u32::MAX, path.display().to_string(), text);
    for (span, problem) in bad {
        findings.error(&Place::File { source: Arc::clone(&source), span, key: String::new() }, problem);
    }
}

/// Descriptions: neighbours often share theirs.
struct Described {
    usual: Arc<str>,
    last: Arc<str>,
}

impl Described {
    fn of(usual: Arc<str>) -> Described {
        Described { last: Arc::clone(&usual), usual }
    }

    fn by(&mut self, said: &str) -> Arc<str> {
        if said.is_empty() {
            return Arc::clone(&self.usual);
        }
        if *self.last != *said {
            self.last = said.into();
        }
        Arc::clone(&self.last)
    }
}

/// One line of a feed.
struct Entry<'a> {
    sign: &'a str,
    span: Range<usize>,
    /// Empty where it says nothing.
    said: &'a str,
}

impl<'a> Entry<'a> {
    /// None for an empty line or a comment. `begin` is where the line begins.
    fn of(line: &'a str, begin: usize) -> Option<Entry<'a>> {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '\u{feff}']).len();
        let text = line[indent..].trim_end();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let (sign, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        let said = rest.trim_start_matches([' ', '\t', ',']);
        let said = if said.starts_with('#') { "" } else { said };
        Some(Entry { sign, span: begin + indent..begin + indent + sign.len(), said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PolicySettings, ThreatIntelSettings};

    fn policy(tier: Option<Tier>, mode: Option<ThreatMode>, allowed: &str) -> PolicyRules {
        let allowed_fqdns = vec![FqdnPattern::parse(allowed).unwrap()];
        let threat_intel = ThreatIntelSettings { mode, allowed_fqdns, ..ThreatIntelSettings::default() };
        let settings = PolicySettings { tier, threat_intel, ..PolicySettings::default() };
        PolicyRules { name: allowed.to_owned(), settings, ..PolicyRules::default() }
    }

    fn resolved(settings: ThreatSettings, policies: &[PolicyRules]) -> (ThreatIntel, Vec<String>) {
        let mut findings = Findings::default();
        let intel = settings.resolve(policies, Feed::default(), &Texts::default(), &mut findings);
        let remarks = findings.finish(&[]).unwrap();
        (intel, remarks.warnings.iter().map(|warning| warning.one_line()).collect())
    }

    #[test]
    fn the_strictest_policy_counts_and_the_operator_more() {
        use ThreatMode::{Alert, Deny, Off};
        let mode = |said: Option<ThreatMode>, modes: &[Option<ThreatMode>]| {
            let policies: Vec<_> = modes.iter().map(|mode| policy(Some(Tier::Standard), *mode, "a.test")).collect();
            let mode = said.map(|value| Placed { value, place: Place::Flag("--threat-intel") });
            resolved(ThreatSettings { mode, ..ThreatSettings::default() }, &policies).0.mode
        };
        assert_eq!(mode(None, &[]), Alert);
        assert_eq!(mode(None, &[None, None]), Alert);
        assert_eq!(mode(None, &[Some(Off), None]), Off);
        assert_eq!(mode(None, &[Some(Deny), Some(Off)]), Deny);
        assert_eq!(mode(None, &[Some(Off), Some(Alert)]), Alert);
        assert_eq!(mode(Some(Off), &[Some(Deny)]), Off);
        assert_eq!(mode(Some(Deny), &[Some(Off)]), Deny);
    }

    #[test]
    fn the_basic_tier_alerts() {
        let basic = [policy(Some(Tier::Basic), Some(ThreatMode::Deny), "a.test")];
        let (intel, warnings) = resolved(ThreatSettings::default(), &basic);
        assert_eq!(intel.mode, ThreatMode::Alert);
        assert_eq!(
            warnings,
            [
                "--policy: the policy `a.test` is of the tier Basic, whose threat intelligence denies nothing: it alerts; \
              to deny all the same, say --threat-intel deny"
            ]
        );
        let mode = Some(Placed { value: ThreatMode::Deny, place: Place::Flag("--threat-intel") });
        let (intel, warnings) = resolved(ThreatSettings { mode, ..ThreatSettings::default() }, &basic);
        assert_eq!(intel.mode, ThreatMode::Deny);
        assert_eq!(
            warnings,
            ["--threat-intel: Azure Firewall Basic, the tier of the policy `a.test`, would alert only"]
        );
    }

    #[test]
    fn a_tier_caps_its_own_policy_only() {
        let standard = policy(Some(Tier::Standard), Some(ThreatMode::Deny), "standard.test");
        let basic = |mode| policy(Some(Tier::Basic), Some(mode), "basic.test");
        for mode in [ThreatMode::Off, ThreatMode::Alert, ThreatMode::Deny] {
            let (intel, warnings) = resolved(ThreatSettings::default(), &[standard.clone(), basic(mode)]);
            assert_eq!((intel.mode, warnings), (ThreatMode::Deny, vec![]), "{mode:?}");
        }
    }

    #[test]
    fn allowlists_add_up() {
        let allowed_addresses = vec!["192.0.2.0/24".parse().unwrap()];
        let allowed_fqdns = vec![FqdnPattern::parse("c.test").unwrap()];
        let own = ThreatSettings { allowed_fqdns, allowed_addresses, ..ThreatSettings::default() };
        let mut parent = policy(None, None, "a.test");
        parent.settings.threat_intel.allowed_addresses.insert_text("198.51.100.7").unwrap();
        let (intel, _) = resolved(own, &[parent, policy(None, None, "b.test")]);
        let names: Vec<String> = intel.allowed_fqdns.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["c.test", "a.test", "b.test"]);
        assert_eq!(intel.allowed_addresses.to_string(), "192.0.2.0/24, 198.51.100.7");
    }

    fn feed(text: &str) -> Result<Vec<String>, String> {
        let mut findings = Findings::default();
        let mut reader = FeedReader::default();
        reader.read(Path::new("lists/feed.txt"), text.to_owned(), &mut findings);
        findings.finish(&[]).map_err(|errors| errors.to_string())?;
        let feed = reader.finish();
        let shown = |indicator: &Indicator| format!("{}: {}", indicator.sign, indicator.description);
        Ok(feed.indicators().iter().skip(1).map(shown).collect())
    }

    #[test]
    fn lines_of_a_feed() {
        let text = "\u{feff}# a comment\r\nevil.test\r\n\n  *.bad.test\tBot networks \n192.0.2.7,C2, seen\n\
                    http://kit.test/x/* Bot networks\nlast.test # no description";
        let expected = [
            "evil.test: listed in feed.txt",
            "*.bad.test: Bot networks",
            "192.0.2.7: C2, seen",
            "kit.test/x/*: Bot networks",
            "last.test: listed in feed.txt",
        ];
        assert_eq!(feed(text).unwrap(), expected);
    }

    #[test]
    fn a_bad_line_is_told_with_its_place() {
        assert_eq!(
            feed("evil.test\n0.0.0.0 hosts.test\n").unwrap_err(),
            "lists/feed.txt:2:1: `0.0.0.0` is this machine, not a threat: of a hosts file, keep the names alone\n  \
             2 | 0.0.0.0 hosts.test\n    | ^^^^^^^"
        );
        assert!(feed(&"*\n".repeat(1_000)).is_err());
    }

    #[test]
    fn a_feed_has_a_bound() {
        let text = "a.test\n".repeat(Feed::MOST);
        assert_eq!(feed(&text).unwrap().len(), Feed::MOST);
        let error = feed(&format!("{text}b.test\n")).unwrap_err();
        assert!(error.starts_with("lists/feed.txt:1000001:1: there are more than 1000000 indicators"), "{error}");
    }
}
