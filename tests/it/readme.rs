//! What README.md shows is what happens.

use std::fs;
use std::path::Path;

use super::support::command::run;

pub fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn readme() -> String {
    page("README.md")
}

/// The contents of the fences of one language.
pub fn fences(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let inside = text.split(&open).skip(1);
    inside.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_console_block_is_what_the_binary_answers() {
    let blocks = fences(&readme(), "console");
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in blocks {
        let (command, shown) = block.split_once('\n').unwrap();
        let args: Vec<&str> = command.strip_prefix("$ egret ").unwrap().split(' ').collect();
        let answer = run(&args);
        assert_eq!(format!("{}{}", answer.out, answer.err), shown, "{command}");
    }
}

#[test]
fn the_configuration_it_shows_loads() {
    let [config] = &fences(&readme(), "toml")[..] else { panic!("one block of TOML") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();
    let answer = run(&["check", "--config", file, "https://api.contoso.com", "tcp://10.1.2.3:1433"]);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 2), "{answer:?}");
}

#[test]
fn it_links_every_page_of_the_manual() {
    let readme = readme();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut found = 0;
    for entry in fs::read_dir(docs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(readme.contains(&format!("(docs/{name})")), "README.md does not link docs/{name}");
        found += 1;
    }
    assert!(found > 3, "{found}");
}
