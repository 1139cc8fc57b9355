//! The one mapping from the core's errors (and from panics) to Python's `RouterError`.
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyType;
use turnout_core::{Code, Error};

create_exception!(
    turnout._native,
    RouterError,
    PyException,
    "What the routing core refuses; `code` is for programs, the text for people."
);

pub fn exception_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let exception = py.get_type::<RouterError>();
    // So that `code` is there for checkers and for whoever raises it in Python.
    exception.setattr("code", Code::Internal.as_str())?;
    Ok(exception)
}

pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let raised = RouterError::new_err(error.to_string());
    if let Err(failed) = raised.value(py).setattr("code", error.code.as_str()) {
        return failed;
    }
    raised
}

/// Runs the core. A panic there is a defect; it comes out as `RouterError` with code "internal"
/// and not as a `PanicException`, which `except Exception` would let through.
pub fn guard<T>(py: Python<'_>, run: impl FnOnce() -> Result<T, Error>) -> PyResult<T> {
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::new(
            Code::Internal,
            format!("the core panicked: {what}"),
        ))
    });
    result.map_err(|error| to_python(py, &error))
}
