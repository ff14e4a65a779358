//! Colours, once for light and once for dark. A test holds them to the contrast that WCAG 2.1 asks for.

use std::fmt::Write;

/// `#rrggbb` each.
pub(super) struct Palette {
    pub(super) page: &'static str,
    pub(super) network: &'static str,
    pub(super) node: &'static str,
    pub(super) edge: &'static str,
    pub(super) text: &'static str,
    pub(super) faint: &'static str,
    pub(super) badge: &'static str,
    pub(super) badge_text: &'static str,
    pub(super) request: &'static str,
    pub(super) reply: &'static str,
    pub(super) stop: &'static str,
    pub(super) pass: &'static str,
}

pub(super) const LIGHT: Palette = Palette {
    page: "#ffffff",
    network: "#f1f5f9",
    node: "#ffffff",
    edge: "#64748b",
    text: "#0f172a",
    faint: "#475569",
    badge: "#e2e8f0",
    badge_text: "#1e293b",
    request: "#1d4ed8",
    reply: "#b45309",
    stop: "#b91c1c",
    pass: "#15803d",
};

pub(super) const DARK: Palette = Palette {
    page: "#0b1220",
    network: "#152033",
    node: "#1e293b",
    edge: "#8a9bb4",
    text: "#f1f5f9",
    faint: "#b6c2d2",
    badge: "#3b4a61",
    badge_text: "#f1f5f9",
    request: "#7fb0ff",
    reply: "#fbbf5c",
    stop: "#ff9a9a",
    pass: "#6ee7a0",
};

/// The style sheet of the document.
pub(super) fn css() -> String {
    let mut css = String::from(
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px}\
         .name{font-weight:600;font-size:13px}.title{font-weight:600;font-size:16px}\
         .path{fill:none;stroke-width:3;stroke-linejoin:round}.reply{stroke-dasharray:7 5}",
    );
    rules(&LIGHT, &mut css);
    css.push_str("@media (prefers-color-scheme:dark){");
    rules(&DARK, &mut css);
    css.push('}');
    css
}

fn rules(palette: &Palette, css: &mut String) {
    let Palette { page, network, node, edge, text, faint, badge, badge_text, request, reply, stop, pass } = palette;
    // Writing to a string does not fail.
    let _ = write!(
        css,
        "svg{{background:{page}}}.page{{fill:{page}}}.network{{fill:{network};stroke:{edge}}}.caption{{fill:{network}}}.node{{fill:{node};stroke:{edge}}}\
         text{{fill:{text}}}text.faint{{fill:{faint}}}.badge{{fill:{badge}}}text.on-badge{{fill:{badge_text}}}\
         .path.request{{stroke:{request}}}.path.reply{{stroke:{reply}}}\
         .tip.request{{fill:{request}}}.tip.reply{{fill:{reply}}}\
         .mark.stop{{fill:{stop}}}.mark.pass{{fill:{pass}}}.mark.unsure{{fill:{reply}}}\
         text.sign{{fill:{page};font-weight:700}}\
         .outcome.stop{{fill:{stop}}}.outcome.pass{{fill:{pass}}}.outcome.unsure{{fill:{reply}}}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1, relative luminance.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn everything_can_be_read_in_light_and_dark() {
        for palette in [LIGHT, DARK] {
            let Palette { page, network, node, edge, text, faint, badge, badge_text, request, reply, stop, pass } =
                palette;
            for ground in [page, network, node] {
                for ink in [text, faint] {
                    assert!(contrast(ink, ground) >= 4.5, "{ink} on {ground}: {}", contrast(ink, ground));
                }
                for line in [edge, request, reply] {
                    assert!(contrast(line, ground) >= 3.0, "{line} on {ground}: {}", contrast(line, ground));
                }
            }
            for (ink, ground) in [(badge_text, badge), (stop, page), (pass, page), (reply, page)] {
                assert!(contrast(ink, ground) >= 4.5, "{ink} on {ground}: {}", contrast(ink, ground));
            }
            assert!(contrast(stop, page) >= 4.5 && contrast(page, pass) >= 4.5);
        }
        assert!(contrast("#ffffff", "#000000") > 20.9);
    }
}
