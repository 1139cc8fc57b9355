//! The right to make one call, as Python holds it.
use pyo3::prelude::*;

#[pyclass(frozen, module = "turnout._native")]
pub struct Permit {
    pub inner: turnout_core::Permit,
}

#[pymethods]
impl Permit {
    #[getter]
    fn account_id(&self) -> &str {
        &self.inner.account_id
    }

    #[getter]
    fn probe(&self) -> bool {
        self.inner.probe
    }

    fn __repr__(&self) -> String {
        let (id, account) = (self.inner.id, &self.inner.account_id);
        format!("<Permit {id} at {account}>")
    }
}
