//! A latency distribution as a picture: the usual plot of an HDR histogram, time over percentile,
//! the percentiles on a scale on which each further nine has the same width.

use std::fmt::Write;

use hdrhistogram::Histogram;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 56.0;

/// Nines shown at most: 99.9999 %.
const NINES_MAX: f64 = 6.0;

/// Draws histograms of nanoseconds into one SVG, each with its name. Up to eight of them keep
/// colours of their own.
#[must_use]
pub fn svg(title: &str, series: &[(&str, &Histogram<u64>)]) -> String {
    const COLOURS: [&str; 8] = [
        "#1f6feb", "#d29922", "#2da44e", "#cf222e", "#8250df", "#0a7ea4", "#bf3989", "#57606a",
    ];
    let most = series
        .iter()
        .map(|(_, h)| h.len())
        .max()
        .unwrap_or(0)
        .max(1);
    let nines = (most as f64).log10().clamp(2.0, NINES_MAX);
    let top_us = series
        .iter()
        .map(|(_, h)| h.value_at_quantile(1.0 - 10_f64.powf(-nines)) as f64 / 1e3)
        .fold(1.0, f64::max);
    let step = round_step(top_us / 8.0);
    let top_us = (top_us / step).ceil() * step;
    let x = |nine: f64| LEFT + (WIDTH - LEFT - RIGHT) * nine / nines;
    let y = |us: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * us / top_us;

    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escape(title)
    );
    let mut us = 0.0;
    while us <= top_us + step / 2.0 {
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{us}</text>",
            y(us),
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(us) + 4.0
        );
        us += step;
    }
    let names = [
        "0",
        "90 %",
        "99 %",
        "99.9 %",
        "99.99 %",
        "99.999 %",
        "99.9999 %",
    ];
    for (nine, name) in names.iter().enumerate().take(nines as usize + 1) {
        let _ = writeln!(
            out,
            "<path d=\"M{0:.1} {TOP}V{1}\" stroke=\"#ddd\"/><text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{name}</text>",
            x(nine as f64),
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 20.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">percentile</text>\
         <text transform=\"translate(20 {}) rotate(-90)\" text-anchor=\"middle\">latency, µs</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 12.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    for (index, (name, histogram)) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        // Ten points a nine draw a smooth line; the histogram has three digits anyway.
        for point in 0..=(nines * 10.0) as usize {
            let nine = point as f64 / 10.0;
            let us = histogram.value_at_quantile(1.0 - 10_f64.powf(-nine)) as f64 / 1e3;
            let letter = if point == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(nine), y(us.min(top_us)));
        }
        let at = TOP + 18.0 * (index as f64 + 1.0);
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{}</text>",
            LEFT + 12.0,
            escape(name)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The next of 1, 2, 5, 10, 20 … that is no less.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_line_a_series_and_its_scale() {
        let mut histogram = super::super::crew::histogram();
        for us in 1..=10_000_u64 {
            histogram.record(us * 1000).unwrap();
        }
        let text = svg("a < b", &[("us", &histogram), ("they", &histogram)]);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert!(text.contains("a &lt; b"));
        assert!(
            text.contains(">99.99 %<") && !text.contains(">99.999 %<"),
            "{text}"
        );
        assert_eq!(text.matches("stroke-width=\"2\"").count(), 2);
        assert!(text.contains(">10000<"));
    }

    #[test]
    fn nothing_to_draw_draws_an_empty_plot() {
        assert!(svg("none", &[]).contains("</svg>"));
        assert!(svg("none", &[("empty", &super::super::crew::histogram())]).contains("</svg>"));
    }

    #[test]
    fn steps_are_round() {
        for (value, step) in [
            (0.7, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (30.0, 50.0),
            (51.0, 100.0),
        ] {
            assert!((round_step(value) - step).abs() < 1e-9, "{value}");
        }
    }
}
