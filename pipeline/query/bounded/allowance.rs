//! What the functions of one statement may make together.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{Result, not_impl_err};
use datafusion::execution::SessionState;

/// What one call makes of one batch of rows.
pub const FUNCTION_BYTES_MAX: usize = 64 << 20;
/// The same of all calls of a statement, each of which has an even share of it.
const STATEMENT_BYTES_MAX: usize = 128 << 20;
/// What calls make of constants alone while a statement is planned: it stays in the plan, where nothing counts it.
const CONSTANTS_BYTES_MAX: usize = 16 << 20;
/// A text among them: it is copied wherever a condition names it. What would be longer is made while the statement runs.
const CONSTANT_TEXT_BYTES_MAX: usize = 64 << 10;

/// Goes along with the options of a statement, which each call of a function is given.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct Allowance {
    used: Arc<Used>,
    /// Workers do a part of the work. They know the engine's functions alone.
    pub is_shared: bool,
}

#[derive(Debug, Default)]
struct Used {
    /// Bytes that were made of constants.
    constants: AtomicUsize,
    /// Calls in the plan that runs, one at least; 0 for as long as there is none.
    calls: AtomicUsize,
}

impl Allowance {
    /// Gives a statement its own. `is_shared` stays what it was, unless it is said.
    pub fn give(state: &mut SessionState, is_shared: Option<bool>) {
        let extensions = &mut state.config_mut().options_mut().extensions;
        let before = extensions.get::<Allowance>().is_some_and(|before| before.is_shared);
        extensions.insert(Allowance { used: Arc::default(), is_shared: is_shared.unwrap_or(before) });
    }

    pub fn begin_planning(&self) {
        self.used.calls.store(0, Ordering::Relaxed);
    }

    pub fn end_planning(&self, calls: usize) {
        self.used.calls.store(calls.max(1), Ordering::Relaxed);
    }

    /// How much a call may make that is about to make so many bytes. `is_constant`: of one row of constants; `is_text`: it makes a text.
    pub fn of_call(&self, bytes: usize, is_constant: bool, is_text: bool) -> usize {
        let calls = self.used.calls.load(Ordering::Relaxed);
        if !is_constant || calls > 0 {
            return FUNCTION_BYTES_MAX.min(STATEMENT_BYTES_MAX / calls.max(1));
        }
        let most = if is_text { CONSTANT_TEXT_BYTES_MAX } else { CONSTANTS_BYTES_MAX };
        if bytes > most {
            return most;
        }
        let made = self.used.constants.fetch_add(bytes, Ordering::Relaxed);
        most.min(CONSTANTS_BYTES_MAX.saturating_sub(made))
    }
}

impl ConfigExtension for Allowance {
    const PREFIX: &'static str = "callweave_functions";
}

/// It is no option that anybody sets or sees.
impl ExtensionOptions for Allowance {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    /// The copies of a statement's options share what it has used.
    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        not_impl_err!("{key} is no option")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
