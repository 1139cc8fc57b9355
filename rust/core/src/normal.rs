//! The normal and logistic distributions, as far as the scores need them.
//!
//! A cascade's second attempt meets the same issuer's opinion as the first. The opinion is
//! modelled as a normal variable that both attempts share (a bivariate probit), hence the normal
//! distribution beside the logistic one that the scores live in.

const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(crate) fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// The standard normal density.
pub(crate) fn density(x: f64) -> f64 {
    INV_SQRT_2PI * (-0.5 * x * x).exp()
}

/// The standard normal distribution function (Abramowitz & Stegun 26.2.17, error < 7.5e-8).
pub(crate) fn below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = density(x) * poly;
    if x >= 0.0 { 1.0 - tail } else { tail }
}

/// The inverse of `below` for p in [1e-4, 1 - 1e-4]: a rational start (Abramowitz & Stegun
/// 26.2.23, error < 4.5e-4) and one Newton step.
pub(crate) fn quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p);
    let t = (-2.0 * tail.ln()).sqrt();
    let start = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    let x = if p < 0.5 { -start } else { start };
    x - (below(x) - p) / density(x)
}

/// What a second attempt promises after a first one was declined, and its slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Echo {
    /// The probability that the second attempt is approved.
    pub approval: f64,
    /// Its slopes in the first and second attempt's logits and in the correlation.
    pub by_first: f64,
    pub by_second: f64,
    pub by_correlation: f64,
}

/// The second attempt's approval, given that the first was declined: both follow from normal
/// variables with the given correlation. The declined one's truncated normal is matched by its
/// first two moments, which makes the second one normal again.
pub(crate) fn after_decline(first_logit: f64, second_logit: f64, correlation: f64) -> Echo {
    let p1 = logistic(first_logit).clamp(1e-3, 1.0 - 1e-3);
    let p2 = logistic(second_logit).clamp(1e-3, 1.0 - 1e-3);
    let (t1, t2) = (quantile(p1), quantile(p2));
    let (d1, d2) = (density(t1), density(t2));
    let shift = d1 / (1.0 - p1);
    let variance = 1.0 + t1 * shift - shift * shift;
    let spread = (1.0 - correlation * correlation * (1.0 - variance)).sqrt();
    let at = (t2 - correlation * shift) / spread;
    let slope = density(at) / spread;
    Echo {
        approval: below(at).clamp(1e-3, 1.0 - 1e-3),
        by_first: -slope * correlation * shift * (shift - t1) * p1 * (1.0 - p1) / d1,
        by_second: slope * p2 * (1.0 - p2) / d2,
        by_correlation: -slope * shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_inverts_the_distribution() {
        assert!((below(1.959_964) - 0.975).abs() < 1e-6);
        for k in 1..1000 {
            let p = f64::from(k) / 1000.0;
            assert!((below(quantile(p)) - p).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn a_decline_lowers_the_next_ones_hopes_with_the_correlation() {
        let (one, two) = (logit(0.88), logit(0.85));
        assert!((after_decline(one, two, 0.0).approval - 0.85).abs() < 1e-6);
        let hopes: Vec<f64> = (0..9)
            .map(|k| after_decline(one, two, f64::from(k) / 10.0).approval)
            .collect();
        assert!(hopes.windows(2).all(|w| w[0] > w[1]));
    }

    #[test]
    fn slopes_are_those_of_the_curve() {
        let (one, two, r, h) = (1.9, 1.4, 0.7, 1e-4);
        let at = |a, b, r| after_decline(a, b, r).approval;
        let echo = after_decline(one, two, r);
        let second = (at(one, two + h, r) - at(one, two - h, r)) / (2.0 * h);
        assert!((echo.by_second - second).abs() < 1e-3, "{second}");
        // The spread's own dependence is left out: it is small beside the mean's.
        let first = (at(one + h, two, r) - at(one - h, two, r)) / (2.0 * h);
        assert!(
            (echo.by_first / first - 1.0).abs() < 0.35,
            "{first} {}",
            echo.by_first
        );
        let by_r = (at(one, two, r + h) - at(one, two, r - h)) / (2.0 * h);
        assert!((echo.by_correlation / by_r - 1.0).abs() < 0.5, "{by_r}");
    }
}
