//! Of the reader alone; whole files are in `tests/it/topology.rs`.

use super::*;
use crate::vnet::samples;

fn read_text(text: &str) -> (Topology, Findings) {
    let (mut topology, mut findings) = (Topology::default(), Findings::default());
    let source = Source::new(0, "vnet.toml".to_owned(), text.to_owned());
    read(&source, &mut topology, &mut findings);
    settle(&mut topology);
    (topology, findings)
}

/// The file of the manual and the fixture of the tests are one network.
#[test]
fn the_worked_set_up_of_the_manual() {
    let text = include_str!("../../../docs/ase/vnet.toml");
    let (topology, findings) = read_text(text);
    let remarks = findings.finish(&[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(remarks.warnings.is_empty(), "{:?}", remarks.warnings);
    assert_eq!(topology, samples::worked());
}
