//! Bars as SVG.

use std::fmt::Write as _;

/// One bar.
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) label: String,
    /// Ours has another colour.
    pub(crate) is_ours: bool,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 90.0;
/// Room for a label behind the longest bar.
const RIGHT: f64 = 110.0;
const TOP: f64 = 44.0;
const STEP: f64 = 30.0;
const THICKNESS: f64 = 20.0;

/// Bars beside each other, from zero.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "a few bars")]
    let height = TOP + STEP * bars.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"15\" font-weight=\"600\" fill=\"#0f172a\">{title}</text>\n"
    );
    for (place, bar) in bars.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "a few bars")]
        let top = TOP + STEP * place as f64;
        let length = if most > 0.0 && bar.value.is_finite() { bar.value / most * (WIDTH - LEFT - RIGHT) } else { 0.0 };
        let (fill, weight) = if bar.is_ours { ("#0369a1", 600) } else { ("#94a3b8", 400) };
        let middle = top + THICKNESS / 2.0 + 4.5;
        // A string takes what is written to it.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" font-weight=\"{weight}\" fill=\"#0f172a\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{THICKNESS}\" rx=\"3\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{middle}\" fill=\"#334155\">{}</text>",
            LEFT - 10.0,
            bar.name,
            LEFT + length + 8.0,
            bar.label,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_the_others_are_in_proportion() {
        let bar = |name, value| Bar { name, value, label: String::new(), is_ours: false };
        let svg = bars("t", &[bar("a", 50.0), bar("b", 100.0), bar("c", f64::NAN)]);
        assert!(
            svg.contains("width=\"260.0\"") && svg.contains("width=\"520.0\"") && svg.contains("width=\"0.0\""),
            "{svg}"
        );
    }
}
