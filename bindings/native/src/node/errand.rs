//! Errand: work that may take long, done by a thread of Node's pool while the loop turns.
//!
//! It always ends well for Node: a failure is part of what it brings back, because only JavaScript's own function can
//! make the one class of error. How far it has come lies in a table under a number that JavaScript chose, and whoever
//! wants to show it looks now and then; calling the loop for it would cost more than it tells.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Status, Task};
use napi_derive::napi;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::{Progress, ProgressFn};

use super::environment::Environment;
use crate::handles::Handle;

/// What an errand brings back.
pub enum Answer {
    /// Nothing.
    Done,
    /// A sequence, or a count.
    Number(u64),
    /// JSON.
    Text(String),
    /// Something that was opened, and gets a handle when it arrives.
    Opened(Box<Handle>),
}

type Work = Box<dyn FnOnce() -> Result<Answer> + Send>;

/// An errand.
pub struct Errand {
    work: Option<Work>,
    number: u32,
}

/// How an errand ended.
#[napi(object)]
pub struct Ended {
    /// 0, or the number of a code.
    pub code: i32,
    /// What went wrong.
    pub message: String,
    /// The system's number, or 0.
    pub errno: i32,
    /// What the code is about: a sequence, or whether the outcome is unknown.
    pub value: f64,
    /// A handle, a sequence or a count.
    pub number: f64,
    /// JSON.
    pub text: String,
}

static UNDER_WAY: Mutex<Option<HashMap<u32, Progress>>> = Mutex::new(None);

fn under_way() -> MutexGuard<'static, Option<HashMap<u32, Progress>>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Errand {
    /// Work to be done; `number` is whom its progress is for, 0 for nobody.
    pub fn new(number: u32, work: impl FnOnce() -> Result<Answer> + Send + 'static) -> AsyncTask<Self> {
        AsyncTask::new(Self { work: Some(Box::new(work)), number })
    }
}

/// Where an errand says how far it has come; none when nobody asks.
pub fn progress_for(number: u32) -> Option<ProgressFn> {
    if number == 0 {
        return None;
    }
    Some(Arc::new(move |progress| {
        under_way().get_or_insert_default().insert(number, progress);
    }))
}

/// Bytes done and bytes in all of an errand under way; empty while it has said nothing.
#[napi]
pub fn progress(number: u32) -> Vec<f64> {
    let seen = under_way().as_ref().and_then(|errands| errands.get(&number).copied());
    seen.map_or_else(Vec::new, |seen| vec![seen.done_bytes as f64, seen.total_bytes as f64])
}

impl Task for Errand {
    type Output = Result<Answer>;
    type JsValue = Ended;

    fn compute(&mut self) -> napi::Result<Result<Answer>> {
        let Some(work) = self.work.take() else {
            return Err(napi::Error::new(Status::GenericFailure, "an errand is run once"));
        };
        let panicked = || Error::new(Code::INTERNAL, "a panic, printed above");
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()));
        if let Some(errands) = under_way().as_mut() {
            errands.remove(&self.number);
        }
        Ok(done)
    }

    fn resolve(&mut self, env: Env, output: Result<Answer>) -> napi::Result<Ended> {
        let arrived = output.and_then(|answer| match answer {
            Answer::Done => Ok((0.0, String::new())),
            Answer::Number(number) => Ok((number as f64, String::new())),
            Answer::Text(text) => Ok((0.0, text)),
            Answer::Opened(handle) => {
                // SAFETY: Node calls this on the environment's thread, after the module was started.
                let environment = unsafe { Environment::of(env.raw()) }?;
                environment.open(*handle).map(|handle| (handle as f64, String::new()))
            }
        });
        Ok(match arrived {
            Ok((number, text)) => Ended { code: 0, message: String::new(), errno: 0, value: 0.0, number, text },
            Err(error) => Ended {
                code: error.code() as i32,
                message: format!("{}; {}", error.message(), error.code().advice()),
                errno: error.os_errno(),
                value: error.value() as f64,
                number: 0.0,
                text: String::new(),
            },
        })
    }
}
