//! Environment: what this library keeps for one Node environment (the main thread, or a worker).
//!
//! Node calls the module's start once for each; from then on every raw callback finds its environment through the
//! pointer that it was registered with, and every `#[napi]` function through the instance data. It lives until Node
//! frees the instance data, at the very end.
//!
//! The end of a program or a worker and `terminate()` run the clean-up hook; `process.exit()` does not, and runs what was
//! given to `atexit` instead. Either way the sleeping threads end first, then every handle that was opened here and not
//! closed is closed, as if its owner had done it, so that nothing is left behind for others to repair. Workers that are
//! still running when the process exits are the exception: their handles belong to other threads, and so to the dead.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

use napi::sys;
use tailrace_core::error::{Code, Error, Result};

use super::bell::{Bell, News};
use super::desk::{DESK_BYTES, Desk};
use super::held::Held;
use super::watcher::Watcher;
use crate::handles::{self, Handle, Kind};
use crate::vigil::{Synced, Vigil};

/// Environments that have not ended, and their threads: addresses, for only those threads use them.
static LIVE: Mutex<Vec<(usize, i32)>> = Mutex::new(Vec::new());

/// The first environment of the process, which is the only one of most: the address of Node's and of ours.
static FIRST: OnceLock<(usize, usize)> = OnceLock::new();

/// One Node environment.
pub struct Environment {
    env: sys::napi_env,
    desk: Cell<Option<Desk>>,
    kept: RefCell<Vec<sys::napi_ref>>,
    fail: Cell<sys::napi_ref>,
    come: Cell<sys::napi_ref>,
    opened: RefCell<HashSet<i64>>,
    held: Held,
    watcher: RefCell<Option<Watcher>>,
}

impl Environment {
    /// Makes the environment's data, which Node frees at its end.
    ///
    /// # Safety
    /// Called once for `env`, on its thread.
    pub unsafe fn start(env: sys::napi_env) -> Option<NonNull<Self>> {
        let environment = Box::into_raw(Box::new(Self {
            env,
            desk: Cell::new(None),
            kept: RefCell::default(),
            fail: Cell::new(ptr::null_mut()),
            come: Cell::new(ptr::null_mut()),
            opened: RefCell::default(),
            held: Held::default(),
            watcher: RefCell::default(),
        }));
        // SAFETY: `environment` is a box that only `free` takes back.
        let status = unsafe { sys::napi_set_instance_data(env, environment.cast(), Some(free), ptr::null_mut()) };
        FIRST.get_or_init(|| (env as usize, environment as usize));
        (status == sys::Status::napi_ok).then_some(NonNull::new(environment)?)
    }

    /// The data of `env`.
    ///
    /// # Safety
    /// Called on the thread of `env`, after `start`.
    pub unsafe fn of<'a>(env: sys::napi_env) -> Result<&'a Self> {
        let mut data = ptr::null_mut();
        // SAFETY: a pointer to a local.
        unsafe { sys::napi_get_instance_data(env, &raw mut data) };
        // SAFETY: what `start` stored, valid until the environment ends.
        unsafe { data.cast::<Self>().as_ref() }
            .ok_or_else(|| Error::new(Code::INTERNAL, "this environment was not started"))
    }

    /// The data of the environment in which a callback was called.
    ///
    /// The first environment is known by its address, which saves a call of Node's. Once it has ended, its desk is gone and
    /// Node may give the address to another.
    ///
    /// # Safety
    /// `info` belongs to a function that was registered with its environment's data.
    #[inline(always)]
    pub unsafe fn of_call<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> &'a Self {
        if let Some((first, data)) = FIRST.get()
            && *first == env as usize
        {
            // SAFETY: the first environment's data is never freed.
            let environment = unsafe { &*(*data as *const Self) };
            if environment.desk.get().is_some() {
                return environment;
            }
        }
        let mut data = ptr::null_mut();
        let (count, values, this) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller's promise, and a pointer to a local; what is not asked for is null.
        unsafe { sys::napi_get_cb_info(env, info, count, values, this, &raw mut data) };
        // SAFETY: what the function was registered with, which lives as long as it can be called.
        unsafe { &*data.cast::<Self>() }
    }

    /// Takes what JavaScript gives once: the desk, the function that throws, and the one that hears news.
    ///
    /// # Safety
    /// The values are of this environment and valid for the call.
    pub unsafe fn attach(&self, desk: sys::napi_value, fail: sys::napi_value, come: sys::napi_value) -> Result<()> {
        // SAFETY: the caller's promise.
        let (kind, length, data) = unsafe { typed_array(self.env, desk) }.ok_or_else(no_desk)?;
        let memory = NonNull::new(data.cast::<u8>()).filter(|memory| memory.cast::<f64>().is_aligned());
        let memory = memory.ok_or_else(no_desk)?;
        if kind != sys::TypedarrayType::uint8_array || length != DESK_BYTES {
            return Err(no_desk());
        }
        let keep = |value| {
            let mut reference = ptr::null_mut();
            // SAFETY: the caller's promise, and a pointer to a local.
            unsafe { sys::napi_create_reference(self.env, value, 1, &raw mut reference) };
            self.kept.borrow_mut().push(reference);
            reference
        };
        keep(desk);
        self.fail.set(keep(fail));
        self.come.set(keep(come));
        // SAFETY: the array has the right kind and length, is kept, and JavaScript hands it to nobody else.
        self.desk.set(Some(unsafe { Desk::new(memory) }));
        if self.watcher.borrow().is_none() {
            // SAFETY: this thread is the environment's; `self` lives until the environment has ended.
            let bell = unsafe { Bell::new(self.env, Some(come_to_bell), ptr::from_ref(self).cast_mut().cast()) };
            let bell = bell.ok_or_else(|| Error::new(Code::INTERNAL, "Node refused a threadsafe function"))?;
            *self.watcher.borrow_mut() = Some(Watcher::new(self.env, bell));
            // After the bell's own hook, so that Node runs this one before it.
            // SAFETY: as above.
            unsafe { sys::napi_add_env_cleanup_hook(self.env, Some(end), ptr::from_ref(self).cast_mut().cast()) };
            live().push((ptr::from_ref(self) as usize, thread_id()));
            static AT_EXIT: Once = Once::new();
            // SAFETY: a function of this library, which stays loaded.
            AT_EXIT.call_once(|| _ = unsafe { libc::atexit(end_at_exit) });
        }
        Ok(())
    }

    /// The desk.
    #[inline(always)]
    pub fn desk(&self) -> Result<Desk> {
        self.desk.get().ok_or_else(no_desk)
    }

    /// Gives `content` a handle that ends with this environment.
    pub fn open(&self, content: Handle) -> Result<i64> {
        let handle = handles::insert(content)?;
        self.opened.borrow_mut().insert(handle);
        self.held.hold(handle)?;
        Ok(handle)
    }

    /// The producers and consumers that were opened here.
    #[inline(always)]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Closes a handle; says whether it was open.
    pub fn close(&self, handle: i64) -> bool {
        self.opened.borrow_mut().remove(&handle);
        if let Some(watcher) = &mut *self.watcher.borrow_mut() {
            watcher.forget(handle);
        }
        self.held.let_go(Some(handle));
        handles::close(handle)
    }

    /// Calls `call` with the watcher.
    pub fn with_watcher<R>(&self, call: impl FnOnce(&mut Watcher) -> Result<R>) -> Result<R> {
        call(self.watcher.borrow_mut().as_mut().ok_or_else(no_desk)?)
    }

    /// Tells of this handle when there is something to read for it, or room for so many slots; of a negated one when that
    /// sequence is on disk, or never will be.
    pub fn wait(&self, handle: i64, target: u64) -> Result<()> {
        self.with_watcher(|watcher| watcher.wait(handle, target, || self.watch(handle, target)))
    }

    fn watch(&self, handle: i64, target: u64) -> Result<Vigil> {
        match handles::kind(handle.abs()) {
            Some(Kind::Producer) if handle < 0 => {
                self.held.with_producer(-handle, |producer| producer.watch_durable(target)).map(Vigil::Region)
            }
            Some(Kind::Producer) => self.held.with_producer(handle, |producer| Ok(Vigil::Region(producer.watch()))),
            Some(Kind::Log) => Ok(Vigil::Synced(Synced::new(handles::log(-handle)?, target))),
            _ => self.held.with_consumer(handle, |reader| reader.watch()),
        }
    }

    /// Lets JavaScript throw.
    #[cold]
    pub fn throw(&self, error: &Error) {
        let message = format!("{}; {}", error.message(), error.code().advice());
        // SAFETY: the values are made here, on the environment's thread.
        unsafe {
            let (mut this, mut code, mut text, mut errno, mut value) =
                (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            sys::napi_get_undefined(self.env, &raw mut this);
            sys::napi_create_int32(self.env, error.code() as i32, &raw mut code);
            sys::napi_create_string_utf8(self.env, message.as_ptr().cast(), message.len() as isize, &raw mut text);
            sys::napi_create_int32(self.env, error.os_errno(), &raw mut errno);
            sys::napi_create_double(self.env, error.value() as f64, &raw mut value);
            let mut fail = ptr::null_mut();
            sys::napi_get_reference_value(self.env, self.fail.get(), &raw mut fail);
            if fail.is_null() {
                let message = CString::new(message).unwrap_or_default();
                sys::napi_throw_error(self.env, ptr::null(), message.as_ptr());
            } else {
                let arguments = [code, text, errno, value];
                sys::napi_call_function(self.env, this, fail, 4, arguments.as_ptr(), ptr::null_mut());
            }
        }
    }

    /// Hands the news to JavaScript: handles that are ready, and (region, channel, kind, count) of what has grown.
    fn report(&self) {
        let news = match &mut *self.watcher.borrow_mut() {
            Some(watcher) => watcher.answer(),
            None => return,
        };
        let (mut ready, mut grown) = (Vec::new(), Vec::new());
        for news in news {
            match news {
                News::Ready { handle, .. } => ready.push(handle as f64),
                News::Grown { region, channel, kind, count } => {
                    grown.extend([region as f64, f64::from(channel), kind as f64, count as f64]);
                }
            }
        }
        // SAFETY: the values are made here, on the environment's thread.
        unsafe {
            let (mut this, mut come) = (ptr::null_mut(), ptr::null_mut());
            sys::napi_get_undefined(self.env, &raw mut this);
            sys::napi_get_reference_value(self.env, self.come.get(), &raw mut come);
            let arguments = [array(self.env, &ready), array(self.env, &grown)];
            sys::napi_call_function(self.env, this, come, 2, arguments.as_ptr(), ptr::null_mut());
        }
    }
}

fn no_desk() -> Error {
    Error::new(Code::INTERNAL, "attach was not called, or with something else than the desk")
}

/// Kind, length and place of a typed array.
///
/// # Safety
/// `value` is a value of `env`, on its thread.
#[inline(always)]
pub unsafe fn typed_array(env: sys::napi_env, value: sys::napi_value) -> Option<(i32, usize, *mut c_void)> {
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    // SAFETY: the caller's promise, and pointers to locals.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    (status == sys::Status::napi_ok).then_some((kind, length, data))
}

/// # Safety
/// Called on the thread of `env`, within a handle scope.
unsafe fn array(env: sys::napi_env, numbers: &[f64]) -> sys::napi_value {
    let mut array = ptr::null_mut();
    // SAFETY: the caller's promise, and pointers to locals.
    unsafe {
        sys::napi_create_array_with_length(env, numbers.len(), &raw mut array);
        for (index, number) in numbers.iter().enumerate() {
            let mut value = ptr::null_mut();
            sys::napi_create_double(env, *number, &raw mut value);
            sys::napi_set_element(env, array, index as u32, value);
        }
    }
    array
}

unsafe extern "C" fn come_to_bell(env: sys::napi_env, _: sys::napi_value, context: *mut c_void, _: *mut c_void) {
    if env.is_null() {
        return;
    }
    // SAFETY: the bell was made with the environment, which lives longer.
    unsafe { &*context.cast::<Environment>() }.report();
}

fn live() -> MutexGuard<'static, Vec<(usize, i32)>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's id of this thread; Rust's own may be gone when a process exits.
fn thread_id() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::gettid() }
}

/// The clean-up hook.
unsafe extern "C" fn end(environment: *mut c_void) {
    live().retain(|(address, _)| *address != environment as usize);
    // SAFETY: the hook was added with the environment, which Node frees later.
    let environment = unsafe { &*environment.cast::<Environment>() };
    if let Some(watcher) = &mut *environment.watcher.borrow_mut() {
        watcher.end();
    }
    environment.held.let_go(None);
    for handle in environment.opened.borrow_mut().drain() {
        handles::close(handle);
    }
    environment.desk.set(None);
}

/// `process.exit()` was called on this thread.
extern "C" fn end_at_exit() {
    let own: Vec<_> = live().iter().filter(|(_, thread)| *thread == thread_id()).copied().collect();
    for (environment, _) in own {
        // SAFETY: it has not ended, and this is its thread.
        unsafe { end(environment as *mut c_void) };
    }
}

/// The finalizer of the instance data; that of the first environment stays.
unsafe extern "C" fn free(_: sys::napi_env, environment: *mut c_void, _: *mut c_void) {
    if FIRST.get().is_some_and(|(_, first)| *first == environment as usize) {
        return;
    }
    // SAFETY: `start` made it from a box, and Node calls this once.
    drop(unsafe { Box::from_raw(environment.cast::<Environment>()) });
}
