//! Pause points: the host is called at every named step of the protocol, and may never return.
//!
//! Only with the feature `pause_points`, for the kill matrix of threads; the artefact has none of it.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// The instance is at the step whose name is these bytes of UTF-8.
    #[link_name = "step"]
    safe fn at_step(name: *const u8, length: usize);
}

/// The instance is at this step.
pub fn step(name: &'static str) {
    at_step(name.as_ptr(), name.len());
}
