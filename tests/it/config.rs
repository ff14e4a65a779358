//! Whole configurations, from files and flags to what the program runs with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use egret::azure::category::Category;
use egret::config::{
    Config, ConfigError, ConfigErrors, DeniedTcp, DeniedUdp, DnsMode, Loaded, OPTIONS, Overrides, Purpose, load,
};
use egret::flow::Profile;
use egret::policy::PrivateAddresses;
use egret::policy::in_order;
use serde_json::Value;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/fixtures/config").join(kind);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no fixtures in {kind}");
    files
}

fn load_file(path: impl AsRef<Path>) -> Result<Loaded, ConfigErrors> {
    load(
        &Overrides { config: Some(path.as_ref().to_owned()), ..Overrides::default() },
        egret::config::DefaultFile::Ignored,
    )
}

fn valid(name: &str) -> Loaded {
    load_file(Path::new("tests/fixtures/config/valid").join(name)).unwrap_or_else(|errors| panic!("{errors}"))
}

fn flags(change: impl FnOnce(&mut Overrides)) -> Result<Loaded, ConfigErrors> {
    let mut overrides = Overrides::default();
    change(&mut overrides);
    load(&overrides, egret::config::DefaultFile::Ignored)
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn policies(config: &Config) -> Vec<&str> {
    config.rules.policies.iter().map(|policy| policy.name.as_str()).collect()
}

#[test]
fn valid_files_load() {
    for path in fixtures("valid") {
        let loaded = load_file(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.files.contains(&path));
    }
}

/// `EGRET_BLESS=1 cargo test` writes the messages anew, to be read in the diff.
#[test]
fn invalid_files_say_what_is_wrong() {
    for path in fixtures("invalid") {
        let Err(errors) = load_file(&path) else { panic!("{} loads", path.display()) };
        let expected = path.with_extension("err");
        if std::env::var_os("EGRET_BLESS").is_some() {
            fs::write(&expected, format!("{errors}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(format!("{errors}\n"), expected, "{}", path.display());
    }
}

/// What of JSON schema `egret schema` uses, and no more: an unknown keyword fails the test.
fn fits(value: &Value, schema: &Value) -> bool {
    let keywords = schema.as_object().unwrap();
    keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "description" | "default" | "title" | "$schema" => true,
        "type" => {
            wanted.as_array().map_or_else(|| is_of(value, wanted), |kinds| kinds.iter().any(|kind| is_of(value, kind)))
        }
        "enum" => wanted.as_array().unwrap().contains(value),
        "pattern" => value.as_str().is_some_and(|text| matches(text, wanted.as_str().unwrap())),
        "anyOf" => wanted.as_array().unwrap().iter().any(|one| fits(value, one)),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(item, wanted))),
        "minimum" => value.as_i64() >= wanted.as_i64(),
        "maximum" => value.as_i64() <= wanted.as_i64(),
        "required" => wanted.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => value
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, value)| wanted.get(key).is_some_and(|wanted| fits(value, wanted))),
        "additionalProperties" => true,
        unknown => panic!("{unknown}"),
    })
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("{unknown}"),
    }
}

/// Of `^(word|word)$`, words made of letters, digits, hyphens and `[Aa]`; or of the pattern of durations.
fn matches(text: &str, pattern: &str) -> bool {
    if pattern.starts_with("^[0-9]+") {
        return text.ends_with(['s', 'm', 'h']) && text.starts_with(|c: char| c.is_ascii_digit());
    }
    let words = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$")).unwrap();
    let is = |word: &str| {
        let mut rest = word;
        text.chars().all(|c| match rest.strip_prefix('[') {
            Some(set) => {
                let (set, after) = set.split_once(']').unwrap();
                rest = after;
                set.contains(c)
            }
            None => rest.strip_prefix(c).map(|after| rest = after).is_some(),
        }) && rest.is_empty()
    };
    words.split('|').any(is)
}

#[test]
fn the_schema_takes_what_the_program_takes() {
    let schema = egret::config::schema();
    for path in fixtures("valid") {
        let file: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        assert!(fits(&serde_json::to_value(file).unwrap(), &schema), "{}", path.display());
    }
    let profile = |word: &str| fits(&serde_json::json!({ "profile": word }), &schema);
    for (word, expected) in [("strict", true), ("Strict", true), ("AZURE", true), ("stric", false), ("stricter", false)]
    {
        assert_eq!(
            (profile(word), flags(|o| o.profile = Some(word.to_owned())).is_ok()),
            (expected, expected),
            "{word}"
        );
    }
}

/// Every key of a file, as tables of options name them.
pub fn paths_in(table: &toml::Table, prefix: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let tables = match value {
            toml::Value::Table(table) => vec![table],
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).collect(),
            _ => Vec::new(),
        };
        tables.into_iter().for_each(|table| paths_in(table, &path, found));
        found.insert(path);
    }
}

#[test]
fn every_option_has_a_fixture() {
    let mut found = BTreeSet::new();
    for path in fixtures("valid") {
        paths_in(&fs::read_to_string(path).unwrap().parse().unwrap(), "", &mut found);
    }
    let known: BTreeSet<String> = OPTIONS.iter().map(|opt| opt.path.to_owned()).collect();
    assert_eq!(found, known);
}

/// The rows of the manual that describe an option, as the table of options makes them.
fn option_rows() -> Vec<String> {
    let row = |opt: &egret::config::Opt| {
        let default = match opt.presence {
            egret::config::Presence::Required => "required".to_owned(),
            egret::config::Presence::Optional => "".to_owned(),
            egret::config::Presence::Default(default) => format!("`{default}`"),
        };
        let kind = opt.kind.describe().replace('|', "\\|");
        format!("| `{}` | {kind} | {default} | {} |", opt.path, opt.doc)
    };
    OPTIONS.iter().map(row).collect()
}

fn is_option_row(line: &str) -> bool {
    let cell = line.strip_prefix("| `").and_then(|line| line.split_once("` |"));
    cell.is_some_and(|(cell, _)| cell.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.'))
}

#[test]
fn the_manual_has_every_option_and_no_other() {
    let manual = fs::read_to_string("docs/config.md").unwrap();
    let rows: Vec<&str> = manual.lines().filter(|line| is_option_row(line)).collect();
    let expected = option_rows();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

#[test]
fn examples_of_the_manual_load() {
    let manual = fs::read_to_string("docs/config.md").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    let examples: Vec<&str> = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        fs::write(&path, example).unwrap();
        load_file(&path).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    let defaults = OPTIONS.iter().filter_map(|opt| match opt.presence {
        // Lists of tables have no default of their own, and `allow = []` is a rule list that was given.
        egret::config::Presence::Default(default) if !opt.path.contains("ip_group") => Some((opt.path, default)),
        _ => None,
    });
    let inside = |path: &str| ["rule_collection", "log.sink", "infrastructure"].iter().any(|it| path.starts_with(it));
    let lines: Vec<String> =
        defaults.filter(|(path, _)| !inside(path)).map(|(path, default)| format!("{path} = {default}")).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    assert_eq!(load_file(&path).unwrap().digest, flags(|_| ()).unwrap().digest);
}

#[test]
fn without_any_rule_there_is_the_ase_policy() {
    assert_eq!(policies(&flags(|_| ()).unwrap().config), ["ase@2018-09-24"]);
    assert_eq!(policies(&flags(|o| o.without = list(&["linux"])).unwrap().config), ["ase@2018-09-24"]);
    assert_eq!(policies(&flags(|o| o.allow = list(&["a.test"])).unwrap().config), ["local"]);
    assert_eq!(policies(&flags(|o| o.policy = list(&["none"])).unwrap().config), ["none"]);
}

#[test]
fn the_order_of_policies() {
    let both = flags(|o| {
        o.config = Some("tests/fixtures/config/valid/every_setting.toml".into());
        o.allow = list(&["a.test"]);
    });
    assert_eq!(policies(&both.unwrap().config), ["local", "ase@2018-09-24", "base", "child"]);
    assert_eq!(policies(&valid("three_lines.toml").config), ["local", "ase@2018-09-24"]);
}

#[test]
fn flags_beat_the_file_and_lists_add_up() {
    let loaded = flags(|o| {
        o.config = Some("tests/fixtures/config/valid/every_setting.toml".into());
        o.policy = list(&["none"]);
        o.without = Vec::new();
        o.profile = Some("azure".to_owned());
        o.auth = Some("other:word".to_owned());
        o.resolve = list(&["b.test:10.0.0.9"]);
        o.log = list(&["other.log"]);
        o.log_format = Some("json".to_owned());
        o.admin = Some("off".to_owned());
    });
    // The file leaves out a part that `none` does not have.
    assert!(loaded.unwrap_err().to_string().contains("`linux` is no part of the policy `none`"));
    let file = valid("every_setting.toml").config;
    assert_eq!((file.profile, file.private_addresses), (Profile::Strict, PrivateAddresses::Allow));
    assert!(file.rules.service_endpoints.is_empty());
    let loaded = flags(|o| {
        o.config = Some("tests/fixtures/config/valid/every_setting.toml".into());
        o.profile = Some("azure".to_owned());
        o.auth = Some("other:word".to_owned());
        o.resolve = list(&["b.test:10.0.0.9"]);
        o.log = list(&["other.log"]);
        o.log_format = Some("json".to_owned());
        o.admin = Some("off".to_owned());
    });
    let config = loaded.unwrap().config;
    assert_eq!(config.profile, Profile::Azure);
    assert_eq!(config.proxy.credentials.unwrap().user, "other");
    assert_eq!(config.dns.overrides.len(), 3);
    assert_eq!(config.log.sinks.len(), 3);
    assert!(config.admin.is_none());
}

#[test]
fn categories_of_azures_logs() {
    let loaded = valid("every_setting.toml");
    assert_eq!(loaded.config.log.fat_flow_every, std::time::Duration::from_secs(10));
    let has = |config: &Config, category| config.log.categories.contains(category);
    assert!(has(&loaded.config, Category::FatFlow) && !has(&loaded.config, Category::NetworkRule));
    assert!(has(&loaded.config, Category::LegacyNetworkRule), "none of its format is named");
    let warning = "tests/fixtures/config/valid/every_setting.toml:58:30: `AZFWIdpsSignature` is not emulated: it has no \
                   records";
    assert_eq!(told(&loaded), [warning]);
    let flags = flags(|o| {
        o.config = Some("tests/fixtures/config/valid/every_setting.toml".into());
        o.log_categories = list(&["AZFWFlowTrace"]);
    });
    let config = flags.unwrap().config;
    assert!(has(&config, Category::FlowTrace) && !has(&config, Category::FatFlow), "flags replace the file's");
}

#[test]
fn what_is_named_twice() {
    assert!(flags(|o| o.without = list(&["linux", "linux"])).is_ok());
    let policies = flags(|o| o.policy = list(&["ase", "ase@2018-09-24"])).unwrap_err().to_string();
    assert!(policies.contains("the policy `ase@2018-09-24` takes part already"), "{policies}");
    assert!(flags(|o| o.policy = list(&["none", "Deny-All"])).is_err());
    assert!(flags(|o| o.policy = list(&["ase", "ase@2023-11-20"])).is_ok());
}

#[test]
fn a_later_resolve_replaces_an_earlier_one() {
    let check = |resolve: &[&str], expected: &[&str]| {
        let config = flags(|o| o.resolve = list(resolve)).unwrap().config;
        let addresses = config.dns.overrides.iter().map(|given| given.addresses[0].to_string());
        assert_eq!(addresses.collect::<Vec<_>>(), expected, "{resolve:?}");
    };
    check(&["a.test:443:10.0.0.1", "+A.test:443:10.0.0.2"], &["10.0.0.2"]);
    check(&["a.test:443:10.0.0.1", "a.test:10.0.0.2", "b.test:443:10.0.0.3"], &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    check(&["a.test:443:10.0.0.1", "-a.test:443", "a.test:80:10.0.0.2"], &["10.0.0.2"]);
    check(&["-a.test:443", "a.test:443:10.0.0.1"], &["10.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    fs::write(&file, "[dns]\nresolve = [\"a.test:443:10.0.0.1\", \"b.test:10.0.0.2\"]\n").unwrap();
    let both = flags(|o| (o.config, o.resolve) = (Some(file), list(&["*:10.0.0.3", "-a.test:443"]))).unwrap();
    let addresses = both.config.dns.overrides.iter().map(|given| given.addresses[0].to_string());
    assert_eq!(addresses.collect::<Vec<_>>(), ["10.0.0.3", "10.0.0.2"]);
}

#[test]
fn one_log_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let twice = flags(|o| o.log = vec![file("flows"), file("./flows")]).unwrap_err().to_string();
    let expected =
        format!("--log: the log goes to `{}` already\n  = mend: leave it out, or name another file", file("./flows"));
    assert_eq!(twice, expected);
    fs::write(file("old"), "").unwrap();
    std::os::unix::fs::symlink(file("old"), file("link")).unwrap();
    assert!(flags(|o| o.log = vec![file("old"), file("link")]).is_err());
    assert!(flags(|o| o.log = vec![file("old"), file("flows")]).is_ok());
}

#[test]
fn flags_are_judged_all_at_once() {
    let errors = flags(|o| {
        o.allow = list(&["10.1.0.0/16"]);
        o.policy = list(&["asee"]);
        o.profile = Some("stict".to_owned());
        o.listen = list(&["0.0.0.0:3128"]);
        o.auth = Some("nobody".to_owned());
        o.admin = Some("0.0.0.0:1".to_owned());
        o.admin_token = Some(" ".to_owned());
        o.config = Some("nowhere.toml".into());
    });
    let shown = errors.unwrap_err().to_string();
    let expected = "\
--config: cannot read `nowhere.toml`: there is no such file
--profile: `stict` is not one of \"azure\", \"strict\"
  = mend: did you mean \"strict\"?
--auth: no credentials
  = mend: write user:password
--admin-token: the token is empty
--allow: `10.1.0.0/16` names no port: write 10.1.0.0/16:443 or, for any port, 10.1.0.0/16:*
--policy: `asee` is neither a built-in policy nor a file
  = mend: did you mean `ase`?
--listen: `0.0.0.0:3128` is off loopback: anybody who reaches it could use this proxy
  = mend: ask for credentials (credentials_file or --auth), or say that it is meant (open = true or --open)
--admin: `0.0.0.0:1` is off loopback: anybody who reaches it could reload the configuration
  = mend: give it a token (token_file or --admin-token)";
    assert_eq!(shown, expected);
}

#[test]
fn rules_keep_their_names_and_order() {
    let config = valid("whole_policy.toml").config;
    let names: Vec<&str> = in_order(&config.rules).iter().map(|ordered| ordered.rule.name()).collect();
    let expected = ["ssh", "web", "time", "sql", "later", "ping", "packages", "updates", "downloads", "infrastructure"];
    assert_eq!(names, expected);
    assert!(in_order(&config.rules).iter().take(9).all(|ordered| ordered.policy == "lab"));
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ConfigError::one_line).collect()
}

#[test]
fn settings_of_a_policy_file_are_left_aside() {
    let loaded = flags(|o| o.policy = list(&["tests/fixtures/config/valid/settings_and_rules.toml"])).unwrap();
    assert_eq!(policies(&loaded.config), ["settings_and_rules"]);
    assert_eq!(loaded.config.proxy.workers, flags(|_| ()).unwrap().config.proxy.workers);
    let warning = "tests/fixtures/config/valid/settings_and_rules.toml:3:2: `proxy` is left aside: this file is used as a \
                   policy";
    assert_eq!(told(&loaded), [warning]);
}

#[test]
fn warnings_are_one_line_each() {
    let warnings = |name: &str| told(&valid(name));
    assert_eq!(
        warnings("whole_policy.toml"),
        ["tests/fixtures/config/valid/whole_policy.toml:7:1: the IP group `nobody-yet` is empty: rules that name it \
          are skipped, as Azure does"]
    );
    assert_eq!(
        warnings("unknown_service_tag.toml"),
        ["tests/fixtures/config/valid/unknown_service_tag.toml:15:26: `Storrage` is neither an address nor a service \
          tag that is known here: it matches nothing; did you mean `Storage`?"]
    );
}

#[test]
fn the_digest_is_of_the_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |text: &str| {
        let path = folder.path().join("egret.toml");
        fs::write(&path, text).unwrap();
        load_file(path).unwrap().digest
    };
    assert_eq!(digest("[proxy]\nworkers = 2\nopen = true"), digest("# same\n[proxy]\nopen = true\nworkers = 2"));
    assert_ne!(digest("[proxy]\nworkers = 2"), digest("[proxy]\nworkers = 3"));
    let rules = "[[rule_collection_group]]\nname = \"g\"\npriority = 100\n";
    assert_eq!(digest(rules), digest(&format!("# moves all that follows\n{rules}")));
    assert_ne!(digest(rules), digest(&rules.replace("100", "200")));
}

#[test]
fn hostile_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load_file(&path).unwrap_err().to_string()
    };
    assert!(error(&b"a = ".iter().copied().chain([b'['; 100_000]).collect::<Vec<u8>>()).contains("not TOML"));
    assert!(error("a.".repeat(100_000).as_bytes()).contains("not TOML"));
    assert!(error(format!("profile = \"{}\"", "ü".repeat(100_000)).as_bytes()).len() < 2_000);
    assert!(error(b"# \xff").contains("line 1 is not UTF-8"));
    assert!(error(&vec![b'#'; 16 * 1024 * 1024 + 1]).contains("larger than 16 MiB"));
    let twice = error("x = 1\n".repeat(10_000).as_bytes());
    assert!(twice.ends_with("9996 more lines cannot be read, and may come of them"), "{twice}");
    let many: String = (0..10_000).map(|nth| format!("x{nth} = 1\n")).collect();
    let many = error(many.as_bytes());
    assert!(many.ends_with("and 9800 more"), "{}", &many[many.len() - 60..]);
}

/// What nobody says; what somebody says holds for both.
#[test]
fn a_run_fails_fast_where_nothing_else_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said.toml");
    fs::write(&said, "[dns]\nmode = \"azure\"\n[gateway]\ndenied_tcp = \"silence\"\ndenied_udp = \"drop\"\n").unwrap();
    let manners = |purpose, config: Option<PathBuf>| {
        let overrides = Overrides { purpose, config, allow: list(&["ok.test"]), ..Overrides::default() };
        let Config { gateway, dns, .. } = load(&overrides, egret::config::DefaultFile::Ignored).unwrap().config;
        (dns.proxy.mode, gateway.denied_tcp, gateway.denied_udp)
    };
    let azure = (DnsMode::Azure, DeniedTcp::Silence, DeniedUdp::Drop);
    let strict = (DnsMode::Strict, DeniedTcp::Reset, DeniedUdp::Unreachable);
    assert_eq!(manners(Purpose::Serve, None), azure);
    assert_eq!(manners(Purpose::Run, None), strict);
    assert_eq!(manners(Purpose::Run, Some(said)), azure);
}
