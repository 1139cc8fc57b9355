//! Clock readings from Python, whose integers have no bounds.
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// Nanoseconds; a reading beyond 64 bits is as absurd as the largest one, and as harmless.
#[derive(Clone, Copy)]
pub struct Nanos(pub i64);

impl<'py> FromPyObject<'_, 'py> for Nanos {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<i64>() {
            Ok(now_ns) => Ok(Self(now_ns)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                let negative = object.lt(0)?;
                Ok(Self(if negative { i64::MIN } else { i64::MAX }))
            }
            Err(error) => Err(error),
        }
    }
}
