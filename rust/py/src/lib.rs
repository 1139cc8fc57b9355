//! The border to Python: `turnout._native`. A table of contents and nothing else.
use pyo3::prelude::*;

mod decision;
mod errors;
mod permit;
mod router;
mod time;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", turnout_core::VERSION)?;
    module.add("RouterError", errors::exception_type(module.py())?)?;
    module.add_class::<router::CompiledConfig>()?;
    module.add_class::<router::Router>()?;
    module.add_class::<decision::Decision>()?;
    module.add_class::<permit::Permit>()?;
    Ok(())
}
