//! The topology as a picture, with the path of a flow on it: request and reply in strokes of their own.
//!
//! One file without fonts or scripts of others; light or dark as whoever looks at it prefers.

mod draw;
mod palette;
mod scene;

use crate::vnet::Network;
use crate::vnet::trace::Trace;

/// The document. Names are escaped; what is too long for its box is shortened, with the whole in its tooltip.
pub(super) fn drawn(network: &Network, trace: &Trace) -> String {
    let scene = scene::laid_out(network, trace);
    draw::document(&scene, trace)
}

#[cfg(test)]
mod tests {
    use super::scene::{Rect, Scene, laid_out};
    use crate::vnet::samples;
    use crate::vnet::trace::{Scene as Asked, Target, Trace};
    use crate::vnet::{Network, Subnet, Topology};

    fn with_subnets(count: u8) -> Topology {
        let mut topology = samples::worked();
        for number in 1..=count {
            topology.virtual_networks[0].subnets.push(Subnet {
                name: format!("subnet-with-a-rather-long-name-{number}"),
                prefixes: vec![format!("192.168.{}.0/24", 10 + number).parse().unwrap()],
                ..Subnet::default()
            });
        }
        topology
    }

    fn scene_of(network: &Network) -> Scene {
        let asked = Asked { network, policy: None, given: &|_, _| Vec::new() };
        let trace = Trace::of(asked, None, &Target::parse("https://example.com").unwrap()).unwrap();
        laid_out(network, &trace)
    }

    fn overlaps(one: &Rect, other: &Rect) -> bool {
        one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h
    }

    #[test]
    fn no_box_covers_another() {
        for count in [0, 1, 3, 6, 10, 12] {
            let network = samples::built(with_subnets(count));
            let scene = scene_of(&network);
            let boxes: Vec<&Rect> = scene.nodes.iter().map(|node| &node.rect).collect();
            assert!(boxes.len() >= usize::from(count) + 2);
            for (at, one) in boxes.iter().enumerate() {
                assert!(boxes.iter().skip(at + 1).all(|other| !overlaps(one, other)), "{count}: {one:?}");
                assert!(one.x >= 0 && one.x + one.w <= scene.width && one.y + one.h <= scene.height, "{one:?}");
            }
        }
    }
}
