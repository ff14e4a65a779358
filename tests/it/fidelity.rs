//! `docs/fidelity.md` is one table of behaviours. Its rows are whole, and what Egret is said to do has tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const COLUMNS: [&str; 6] = ["area", "behaviour", "evidence", "source", "Egret", "tests"];
const EVIDENCE: [&str; 5] = ["documented", "observed", "inferred", "assumed", "–"];
const STATUS: [&str; 3] = ["**same**", "**differs**", "**not emulated**"];

#[test]
fn every_behaviour_of_the_table_has_a_test() {
    let page = fs::read_to_string(root().join("docs/fidelity.md")).unwrap();
    let tests = tests_of_the_repository();
    assert!(tests.len() > 600, "only {} tests were found", tests.len());
    let rows = page.lines().filter(|line| line.starts_with('|')).count();
    assert!(rows > 150, "only {rows} rows were found");
    let wrong = complaints(&page, &tests);
    assert!(wrong.is_empty(), "docs/fidelity.md:\n{}", wrong.join("\n"));
}

/// What is wrong with the page, line by line.
fn complaints(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut lines = page.lines().zip(1..).skip_while(|(line, _)| !line.starts_with('|'));
    let mut wrong = Vec::new();
    let head = lines.next().and_then(|(line, _)| cells(line));
    if head.is_none_or(|head| head != COLUMNS) {
        wrong.push(format!("no table with the columns {COLUMNS:?}"));
    }
    lines.next();
    let (mut seen, mut areas, mut over) = (BTreeSet::new(), Vec::new(), false);
    for (line, number) in lines {
        over |= !line.starts_with('|');
        let complaint = match cells(line) {
            None if line.starts_with('|') => Some("not six cells".to_owned()),
            None => None,
            Some(_) if over => Some("a row outside of the table".to_owned()),
            Some(cells) => complaint(&cells, tests).or_else(|| out_of_order(&cells, &mut seen, &mut areas)),
        };
        wrong.extend(complaint.map(|complaint| format!("{number}: {complaint}: {line}")));
    }
    wrong
}

fn cells(line: &str) -> Option<[&str; 6]> {
    let line = line.trim_end().strip_prefix("| ")?.strip_suffix(" |")?;
    line.split(" | ").map(str::trim).collect::<Vec<_>>().try_into().ok()
}

fn complaint(
    [area, behaviour, evidence, source, egret, named]: &[&str; 6],
    tests: &BTreeSet<String>,
) -> Option<String> {
    if [area, behaviour, evidence, source, egret].iter().any(|cell| cell.is_empty()) {
        return Some("an empty cell".to_owned());
    }
    if !EVIDENCE.contains(evidence) {
        return Some(format!("`{evidence}` is no evidence"));
    }
    if ["documented", "observed", "inferred"].contains(evidence) && *source == "–" {
        return Some("no source".to_owned());
    }
    let Some(status) = STATUS.into_iter().find(|status| egret.starts_with(status)) else {
        return Some(format!("begins with none of {STATUS:?}"));
    };
    if status == "**differs**" && egret.len() < status.len() + 3 {
        return Some("does not say how".to_owned());
    }
    if named.is_empty() || *named == "–" {
        return (status != "**not emulated**").then(|| "names no test".to_owned());
    }
    let unknown =
        |name: &&str| name.strip_prefix('`').and_then(|it| it.strip_suffix('`')).is_none_or(|it| !tests.contains(it));
    named.split(", ").find(unknown).map(|name| format!("there is no test {name}"))
}

/// A behaviour is told once, and areas stay together.
fn out_of_order<'a>(
    [area, behaviour, ..]: &[&'a str; 6],
    seen: &mut BTreeSet<(&'a str, &'a str)>,
    areas: &mut Vec<&'a str>,
) -> Option<String> {
    let begins = areas.last() != Some(area);
    if begins && areas.contains(area) {
        return Some(format!("`{area}` begins again"));
    }
    areas.extend(begins.then_some(area));
    (!seen.insert((*area, *behaviour))).then(|| "told twice".to_owned())
}

#[test]
fn wrong_tables_are_found() {
    let tests = BTreeSet::from(["gateway::it_drains".to_owned()]);
    let good = "| http | b | observed | captures | **same** | `gateway::it_drains` |";
    let head = "Words.\n\n| area | behaviour | evidence | source | Egret | tests |\n|---|---|---|---|---|---|\n";
    let check = |rows: &str, expected: &str| {
        let wrong = complaints(&format!("{head}{rows}\n\nMore words.\n"), &tests).join("\n");
        assert!(if expected.is_empty() { wrong.is_empty() } else { wrong.contains(expected) }, "{rows}: {wrong:?}");
    };
    check(good, "");
    check("| http | b | – | – | **not emulated**: no | – |", "");
    check("| http | b | assumed | – | **differs**: more | `gateway::it_drains`, `gateway::it_drains` |", "");
    for (from, to, expected) in [
        ("| b |", "|", "not six cells"),
        ("| b |", "| b | b |", "not six cells"),
        ("| b |", "|  |", "an empty cell"),
        ("observed", "seen", "`seen` is no evidence"),
        ("captures", "–", "no source"),
        ("**same**", "same", "begins with none of"),
        ("**same**", "**differs**", "does not say how"),
        ("`gateway::it_drains`", "–", "names no test"),
        ("`gateway::it_drains`", "gateway::it_drains", "there is no test gateway::it_drains"),
        ("it_drains`", "it_drain`", "there is no test `gateway::it_drain`"),
        ("it_drains`", "it_drains`, `cases/none`", "there is no test `cases/none`"),
    ] {
        check(&good.replace(from, to), expected);
    }
    check(&format!("{good}\n{good}"), "told twice");
    let [other, again] = [good.replace("http | b", "tls | c"), good.replace("| b", "| d")];
    check(&format!("{good}\n{other}\n{again}"), "`http` begins again");
    check(&format!("{good}\n\n{other}"), "a row outside of the table");
    assert!(!complaints("no table", &tests).is_empty());
}

/// Integration tests by file, unit tests by module, cases by file.
fn tests_of_the_repository() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(&root().join("tests/it")) {
        let module = module_of(&path, "tests/it");
        found.extend(tests_in(&path).into_iter().map(|name| format!("{module}::{name}")));
    }
    for path in files(&root().join("src")) {
        let module = module_of(&path, "src");
        let own = if module.ends_with("::tests") { module } else { format!("{module}::tests") };
        found.extend(tests_in(&path).into_iter().map(|name| format!("{own}::{name}")));
    }
    let cases = fs::read_dir(root().join("tests/cases")).unwrap();
    found.extend(cases.map(|case| format!("cases/{}", case.unwrap().path().file_stem().unwrap().to_string_lossy())));
    found
}

fn module_of(path: &Path, below: &str) -> String {
    let path = path.strip_prefix(root().join(below)).unwrap().with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).filter(|part| part != "mod").collect();
    parts.join("::")
}

/// The functions behind `#[test]`.
fn tests_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let functions = text.split("#[test]").skip(1).filter_map(|rest| rest.split_once("fn "));
    functions.filter_map(|(_, rest)| rest.split(['(', '<']).next()).map(str::to_owned).collect()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut found: Vec<_> = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "rs")).collect();
    found.extend(folders.iter().flat_map(|folder| self::files(folder)));
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
