//! A decision as Python reads it: nothing is converted before it is asked for.
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// account_id, tier, gate, score, propensity, approval, failure_rate, approval_sd, latency_ms,
/// fee_minor, approval_to_lead, weight
type RankedRow<'a> = (
    &'a str,
    u8,
    &'static str,
    f64,
    f64,
    f32,
    f32,
    f32,
    f32,
    f64,
    Option<f64>,
    f64,
);
/// account_id, reason code, reason in words
type FilteredRow<'a> = (&'a str, &'static str, &'static str);

#[pyclass(frozen, module = "turnout._native")]
pub struct Decision {
    pub inner: turnout_core::Decision,
}

#[pymethods]
impl Decision {
    #[getter]
    fn account_ids(&self) -> Vec<&str> {
        let ranked = self.inner.ranked.iter();
        ranked.map(|r| self.inner.account_id(r.account)).collect()
    }

    #[getter]
    fn degraded(&self) -> bool {
        self.inner.degraded
    }

    #[getter]
    fn first_by(&self) -> &'static str {
        self.inner.first_by.as_str()
    }

    #[getter]
    fn matched_rules(&self) -> Vec<&str> {
        self.inner.matched_rules().collect()
    }

    /// The rule's id and its reason.
    #[getter]
    fn blocked(&self) -> Option<(&str, &str)> {
        let blocked = self.inner.blocked.as_ref();
        blocked.map(|b| (b.rule_id.as_str(), b.reason.as_str()))
    }

    #[getter]
    fn require_three_ds(&self) -> bool {
        self.inner.require_three_ds
    }

    #[getter]
    fn snapshot_version(&self) -> String {
        version_text(self.inner.snapshot.version)
    }

    #[getter]
    fn now_ns(&self) -> i64 {
        self.inner.now_ns
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.inner.seed
    }

    fn ranked(&self) -> Vec<RankedRow<'_>> {
        let ranked = self.inner.ranked.iter();
        ranked
            .map(|r| {
                let id = self.inner.account_id(r.account);
                let gate = r.gate.as_str();
                (
                    id,
                    r.tier,
                    gate,
                    r.score,
                    r.propensity,
                    r.approval,
                    r.failure,
                    r.approval_sd,
                    r.latency_ms,
                    r.fee_minor,
                    r.approval_to_lead,
                    r.weight,
                )
            })
            .collect()
    }

    fn filtered(&self) -> Vec<FilteredRow<'_>> {
        let filtered = self.inner.filtered.iter();
        filtered
            .map(|f| {
                let id = self.inner.account_id(f.account);
                (id, f.reason.as_str(), f.reason.text())
            })
            .collect()
    }

    fn record<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.record())
    }

    fn __repr__(&self) -> String {
        let degraded = if self.inner.degraded {
            ", degraded"
        } else {
            ""
        };
        format!("<Decision {:?}{degraded}>", self.account_ids())
    }
}

pub fn version_text(version: u64) -> String {
    format!("{version:016x}")
}
