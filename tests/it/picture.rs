//! The picture of `egret trace --svg`: whole, safe, and read by a real browser in light and in dark.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::clients::is_here;
use super::trace::{HUB, WORKED, trace};

/// Draws, and reads what was drawn with a real XML parser.
pub(super) fn picture(folder: &Path, topology: &str, args: &[&str]) -> String {
    let path = folder.join("trace.svg");
    let answer = trace(topology, &[&["--svg", path.to_str().unwrap()], args].concat());
    assert!([0, 3].contains(&answer.code), "{answer:?}");
    let text = fs::read_to_string(&path).unwrap();
    let parser = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
    if is_here("python3", &["--version"]) {
        let parsed = Command::new("python3").args(["-c", parser, path.to_str().unwrap()]).output().unwrap();
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    }
    text
}

#[test]
fn the_picture_is_whole_and_shows_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let text = picture(folder.path(), HUB, &["on-premises", "vm1:443"]);
    for part in ["prefers-color-scheme:dark", "ase-spoke", "NSG ase-nsg", "UDR web-routes", "er-gateway", "hub"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.contains("data &lt;&amp;&quot;&apos;&gt;"), "{text}");
    assert!(text.contains("…<title>a-subnet-with-a-name-that-is-longer-than-any-box-of-a-picture</title>"), "{text}");
    assert!(!text.contains("http") || text.matches("http").count() == 1, "nothing is loaded from elsewhere: {text}");
    let strokes = |leg: &str| text.matches(&format!("class=\"path {leg}\"")).count();
    // One more each for the legend.
    assert_eq!((strokes("request"), strokes("reply")), (4, 4), "{text}");
}

#[test]
fn the_picture_can_be_rendered() {
    if !is_here("rsvg-convert", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (topology, args) in [(HUB, ["ase", "vm1:443"]), (WORKED, ["AppServiceManagement", "vip:454"])] {
        picture(folder.path(), topology, &args);
        let drawn = Command::new("rsvg-convert").current_dir(folder.path()).arg("trace.svg").output().unwrap();
        assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
        assert!(drawn.stdout.starts_with(b"\x89PNG") && drawn.stdout.len() > 5_000, "{}", drawn.stdout.len());
    }
}

/// Looks at the picture as it is laid out: texts that leave what they are in or lie on each other, and its colours.
const LOOK: &str = r#"
const shown = node => { const box = node.getBoundingClientRect(); return { node, box, text: node.textContent }; };
const inside = (one, other) => one.left >= other.left && one.right <= other.right
    && one.top >= other.top && one.bottom <= other.bottom;
const meet = (one, other) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
    && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 3;
const svg = document.querySelector('svg');
const texts = [...svg.querySelectorAll('text')].map(shown);
const boxes = [...svg.querySelectorAll('rect')].map(shown);
const begins = (box, text) => text.left >= box.left && text.left < box.right && text.top >= box.top && text.top < box.bottom;
const out = texts.filter(text => text.node.getAttribute('class') !== 'sign')
    .filter(text => boxes.some(({ box }) => begins(box, text.box) && !inside(text.box, box)));
const pairs = texts.flatMap((one, at) => texts.slice(at + 1).filter(other => meet(one.box, other.box)).map(other => [one.text, other.text]));
const colour = (what, of) => getComputedStyle(svg.querySelector(what))[of];
document.body.textContent = JSON.stringify({
    texts: texts.length, out: out.map(it => it.text), pairs,
    page: getComputedStyle(svg).backgroundColor, text: colour('text', 'fill'), request: colour('.path.request', 'stroke'),
});
"#;

/// Chromium, by its name of Debian or by Google's.
fn browser() -> Option<&'static str> {
    if Command::new("google-chrome").arg("--version").output().is_ok() {
        return Some("google-chrome");
    }
    is_here("chromium", &["--version"]).then_some("chromium")
}

/// What a headless browser makes of it.
fn looked_at(browser: &str, folder: &Path, picture: &str, scheme: &str) -> Value {
    let page = folder.join("page.html");
    let body = format!("<!doctype html><meta charset=utf-8><body>{picture}<script>{LOOK}</script></body>");
    fs::write(&page, body).unwrap();
    let mut chromium = Command::new("timeout");
    chromium.args(["120", browser]);
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    chromium.args(["--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage"]);
    chromium.arg(format!("--user-data-dir={}", folder.join("profile").display())).arg("--window-size=1600,1600");
    chromium.arg(format!("--blink-settings=preferredColorScheme={scheme}")).arg("--dump-dom").arg(&page);
    let drawn = chromium.output().unwrap();
    let text = String::from_utf8_lossy(&drawn.stdout);
    let json = text.split_once("<body>").and_then(|(_, rest)| rest.split_once("</body>")).map_or("", |(json, _)| json);
    let plain = json.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
    serde_json::from_str(&plain)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&drawn.stderr)))
}

#[test]
fn the_picture_in_a_browser() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flows = [
        (HUB, ["ase", "vm1:443"]),
        (HUB, ["on-premises", "10.1.1.4:443"]),
        (WORKED, ["AppServiceManagement", "vip:454"]),
        (WORKED, ["ase", "https://login.windows.net"]),
    ];
    for (topology, args) in flows {
        let picture = picture(folder.path(), topology, &args);
        let schemes = [("0", "rgb(11, 18, 32)", "rgb(127, 176, 255)"), ("1", "rgb(255, 255, 255)", "rgb(29, 78, 216)")];
        for (scheme, page, request) in schemes {
            let seen = looked_at(browser, folder.path(), &picture, scheme);
            assert!(seen["texts"].as_u64() > Some(10), "{seen}");
            assert_eq!((&seen["out"], &seen["pairs"]), (&Value::from([0; 0]), &Value::from([0; 0])), "{args:?} {seen}");
            assert_eq!((&seen["page"], &seen["request"]), (&page.into(), &request.into()), "{args:?} {seen}");
        }
    }
}
