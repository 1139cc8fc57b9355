//! The router as Python calls it. Every method is one crossing; the GIL is kept where the work
//! takes microseconds, because giving it away and taking it back would cost more.
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;
use turnout_core::{Facts, Outcome, Snapshot};

use crate::decision::{Decision, version_text};
use crate::errors::guard;
use crate::permit::Permit;
use crate::time::Nanos;

/// account_id, phase, reason, retry_in_s, approval, answers, failure_rate, latency_ms, in_flight,
/// overdue, max_in_flight
type HealthRow = (
    String,
    &'static str,
    &'static str,
    f64,
    f64,
    f64,
    f64,
    f64,
    u32,
    u32,
    u32,
);

/// permit, or why there is none: code, reason, retry_in_s
type Begun = (Option<Permit>, &'static str, &'static str, f64);

/// A configuration that a router can switch to at once.
#[pyclass(frozen, module = "turnout._native")]
pub struct CompiledConfig {
    snapshot: Arc<Snapshot>,
}

#[pymethods]
impl CompiledConfig {
    /// Compiles without the GIL: thousands of rules take a good part of a second.
    #[new]
    fn new(py: Python<'_>, config_json: &[u8]) -> PyResult<Self> {
        let compiled = guard(py, || py.detach(|| Snapshot::compile(config_json)))?;
        Ok(Self {
            snapshot: Arc::new(compiled),
        })
    }

    #[getter]
    fn snapshot_version(&self) -> String {
        version_text(self.snapshot.version)
    }
}

#[pyclass(frozen, module = "turnout._native")]
pub struct Router {
    inner: RwLock<turnout_core::Router>,
}

impl Router {
    // A panic is caught at the border and the core's own state stays readable: no poisoning.
    fn read(&self) -> RwLockReadGuard<'_, turnout_core::Router> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, turnout_core::Router> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Router {
    #[new]
    fn new(py: Python<'_>, compiled: &CompiledConfig) -> PyResult<Self> {
        let router = guard(py, || {
            Ok(turnout_core::Router::over(Arc::clone(&compiled.snapshot)))
        })?;
        Ok(Self {
            inner: RwLock::new(router),
        })
    }

    #[getter]
    fn snapshot_version(&self) -> String {
        version_text(self.read().snapshot().version)
    }

    fn install(&self, py: Python<'_>, compiled: &CompiledConfig) -> PyResult<()> {
        guard(py, || {
            self.write().install(Arc::clone(&compiled.snapshot));
            Ok(())
        })
    }

    /// By position only: matching some twenty keywords would cost as much as the decision.
    #[pyo3(signature = (
        profile_id, now_ns, seed, amount_minor, currency, method, network, funding, bin,
        issuer_country, capabilities, excluded, no_exploring, capture_method, channel, three_ds,
        billing_country, recurring, risk_score, metadata, sticky_key, /,
    ))]
    #[allow(clippy::too_many_arguments)] // An object would cost a look-up for each.
    fn decide(
        &self,
        py: Python<'_>,
        profile_id: &str,
        now_ns: Nanos,
        seed: u64,
        amount_minor: Option<i64>,
        currency: Option<&str>,
        method: Option<&str>,
        network: Option<&str>,
        funding: Option<&str>,
        bin: Option<&str>,
        issuer_country: Option<&str>,
        capabilities: Option<Vec<PyBackedStr>>,
        excluded: Option<Vec<PyBackedStr>>,
        no_exploring: bool,
        capture_method: Option<&str>,
        channel: Option<&str>,
        three_ds: Option<&str>,
        billing_country: Option<&str>,
        recurring: Option<bool>,
        risk_score: Option<i64>,
        metadata: Option<Vec<(PyBackedStr, PyBackedStr)>>,
        sticky_key: Option<&str>,
    ) -> PyResult<Decision> {
        let facts = Facts {
            amount_minor,
            currency,
            method,
            network,
            funding,
            bin,
            issuer_country,
            capture_method,
            channel,
            three_ds,
            billing_country,
            recurring,
            // What is no score at all stays one that the core refuses.
            risk_score: risk_score.map(|score| u8::try_from(score).unwrap_or(u8::MAX)),
            metadata: metadata
                .iter()
                .flatten()
                .map(|(k, v)| (&**k, &**v))
                .collect(),
            sticky_key,
            capabilities: capabilities.iter().flatten().map(|s| &**s).collect(),
            excluded: excluded.iter().flatten().map(|s| &**s).collect(),
            no_exploring,
        };
        let inner = guard(py, || {
            self.read().decide(profile_id, &facts, now_ns.0, seed)
        })?;
        Ok(Decision { inner })
    }

    fn replay(&self, py: Python<'_>, record: &[u8]) -> PyResult<Decision> {
        let inner = guard(py, || self.read().replay(record))?;
        Ok(Decision { inner })
    }

    fn try_ruleset(&self, py: Python<'_>, record: &[u8], profile_id: &str) -> PyResult<Decision> {
        let inner = guard(py, || self.read().try_ruleset(record, profile_id))?;
        Ok(Decision { inner })
    }

    #[pyo3(signature = (account_id, *, now_ns, decision=None, required=false))]
    fn begin(
        &self,
        py: Python<'_>,
        account_id: &str,
        now_ns: Nanos,
        decision: Option<&Decision>,
        required: bool,
    ) -> PyResult<Begun> {
        let decision = decision.map(|d| &d.inner);
        let begun = guard(py, || {
            Ok(self.write().begin(account_id, decision, required, now_ns.0))
        })?;
        Ok(match begun {
            Ok(inner) => (Some(Permit { inner }), "", "", 0.0),
            Err(refusal) => {
                let (reason, retry_in_s) = match refusal {
                    turnout_core::Refusal::BreakerOpen { reason, retry_in_s } => {
                        (reason.as_str(), retry_in_s)
                    }
                    turnout_core::Refusal::RateLimited { retry_in_s } => ("", retry_in_s),
                    _ => ("", 0.0),
                };
                (None, refusal.as_str(), reason, retry_in_s)
            }
        })
    }

    #[pyo3(signature = (permit, outcome, *, latency_ms, now_ns))]
    fn finish(
        &self,
        py: Python<'_>,
        permit: &Permit,
        outcome: &str,
        latency_ms: f64,
        now_ns: Nanos,
    ) -> PyResult<()> {
        let outcome = parse(outcome)?;
        guard(py, || {
            self.write()
                .finish(&permit.inner, outcome, latency_ms, now_ns.0)
        })
    }

    #[pyo3(signature = (account_id, record, outcome, *, now_ns))]
    fn observe(
        &self,
        py: Python<'_>,
        account_id: &str,
        record: &[u8],
        outcome: &str,
        now_ns: Nanos,
    ) -> PyResult<()> {
        let outcome = parse(outcome)?;
        guard(py, || {
            self.write().observe(account_id, record, outcome, now_ns.0)
        })
    }

    #[pyo3(signature = (*, now_ns))]
    fn health(&self, py: Python<'_>, now_ns: Nanos) -> PyResult<Vec<HealthRow>> {
        let views = guard(py, || Ok(self.read().health(now_ns.0)))?;
        let rows = views.into_iter().map(|v| {
            (
                v.account_id,
                v.breaker.phase.as_str(),
                v.breaker.reason.as_str(),
                v.breaker.retry_in_s,
                v.approval,
                v.answers,
                v.failure_rate,
                v.latency_ms,
                v.in_flight,
                v.overdue,
                v.max_in_flight,
            )
        });
        Ok(rows.collect())
    }

    #[getter]
    fn segment_count(&self) -> usize {
        self.read().segment_count()
    }

    #[getter]
    fn segment_bytes(&self) -> usize {
        self.read().segment_bytes()
    }

    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let saved = guard(py, || Ok(self.read().save()))?;
        Ok(PyBytes::new(py, &saved))
    }

    #[pyo3(signature = (saved, *, now_ns))]
    fn restore(&self, py: Python<'_>, saved: &[u8], now_ns: Nanos) -> PyResult<()> {
        guard(py, || self.write().restore(saved, now_ns.0))
    }
}

fn parse(outcome: &str) -> PyResult<Outcome> {
    Outcome::parse(outcome)
        .ok_or_else(|| PyValueError::new_err(format!("{outcome:?} is no routing outcome")))
}
