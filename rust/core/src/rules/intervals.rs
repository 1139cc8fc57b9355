//! Sorted, disjoint intervals of whole numbers, both ends inclusive.
pub(crate) type Interval = (i64, i64);

pub(crate) const WHOLE: Interval = (i64::MIN, i64::MAX);

/// The union of any intervals, empty ones (first above last) among them.
pub(crate) fn union(mut parts: Vec<Interval>) -> Vec<Interval> {
    parts.retain(|(first, last)| first <= last);
    parts.sort_unstable();
    let mut out: Vec<Interval> = Vec::with_capacity(parts.len());
    for (first, last) in parts {
        match out.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

pub(crate) fn complement(parts: &[Interval]) -> Vec<Interval> {
    let mut out = Vec::with_capacity(parts.len() + 1);
    let mut next = Some(i64::MIN);
    for (first, last) in parts {
        if let Some(open) = next.filter(|open| open < first) {
            out.push((open, first - 1));
        }
        next = last.checked_add(1);
    }
    out.extend(next.map(|open| (open, i64::MAX)));
    out
}

pub(crate) fn intersection(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let (mut out, mut i, mut j) = (Vec::new(), 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let both = (x.0.max(y.0), x.1.min(y.1));
        if both.0 <= both.1 {
            out.push(both);
        }
        if x.1 < y.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_sets() {
        let (min, max) = WHOLE;
        let parts = union(vec![(5, 9), (1, 2), (3, 3), (20, 10), (9, 12)]);
        assert_eq!(parts, [(1, 3), (5, 12)]);
        let rest = complement(&parts);
        assert_eq!(rest, [(min, 0), (4, 4), (13, max)]);
        assert_eq!(complement(&rest), parts);
        assert_eq!(complement(&[WHOLE]), []);
        assert_eq!(complement(&[]), [WHOLE]);
        assert_eq!(complement(&[(min, 4)]), [(5, max)]);
        assert_eq!(intersection(&parts, &rest), []);
        assert_eq!(
            intersection(&parts, &[(2, 6), (12, max)]),
            [(2, 3), (5, 6), (12, 12)]
        );
        assert_eq!(union(vec![WHOLE, (3, 4)]), [WHOLE]);
    }
}
