//! Lends the machine of a call to the host functions that the guest calls meanwhile.
//!
//! The engine's store outlives a call and wants `'static` data, the machine is borrowed for the call only. So it does not lie in the
//! store: it lies with the thread, on which the guest runs to its end, and [`lend`] takes it back before it returns, also in a panic.

use std::cell::Cell;

use berth_plugin_sdk::Machine;

thread_local! {
    /// The machine of the call that runs on this thread.
    static LENT: Cell<Option<*const (dyn Machine + 'static)>> = const { Cell::new(None) };
}

/// Puts back what was lent before.
struct Back(Option<*const (dyn Machine + 'static)>);

impl Drop for Back {
    fn drop(&mut self) {
        LENT.set(self.0);
    }
}

/// Does `work`, during which [`with`] on this thread hands out `machine`. Calls nest: a machine may call another component.
pub fn lend<T>(machine: Option<&dyn Machine>, work: impl FnOnce() -> T) -> T {
    let pointer = machine.map(|machine| {
        let pointer: *const (dyn Machine + '_) = machine;
        // SAFETY: only the lifetime in the pointer's type changes. The pointer is in `LENT` alone, and `Back` removes it from there
        // before this function ends, while the borrow `machine` still lasts.
        #[allow(unsafe_code)]
        unsafe {
            std::mem::transmute::<*const (dyn Machine + '_), *const (dyn Machine + 'static)>(pointer)
        }
    });
    let _back = Back(LENT.replace(pointer));
    work()
}

/// Does `work` with the machine of the call that runs on this thread; `None`: there is none.
pub fn with<T>(work: impl FnOnce(&dyn Machine) -> T) -> Option<T> {
    // SAFETY: a pointer is in `LENT` only while `lend` runs below us on this same thread, which holds the borrow it was made from;
    // `work` cannot keep the reference, as it must be good for every lifetime.
    #[allow(unsafe_code)]
    LENT.get().map(|pointer| work(unsafe { &*pointer }))
}

#[cfg(test)]
mod tests {
    use berth_plugin_sdk::memory::{Memory, MemoryMachine};
    use berth_plugin_sdk::{Kib, Pool};

    use super::*;

    fn machine(name: &str) -> MemoryMachine {
        let pool = Pool { name: name.into(), kind: "FILE".into(), place: "/p".into(), props: std::collections::BTreeMap::new() };
        MemoryMachine::new(pool, Memory::new(Kib(1024)))
    }

    fn now() -> Option<String> {
        with(|machine| machine.pool().name.clone())
    }

    #[test]
    fn a_machine_is_there_for_its_call_only() {
        let (outer, inner) = (machine("outer"), machine("inner"));
        assert_eq!(now(), None);
        lend(Some(&outer), || {
            assert_eq!(now().as_deref(), Some("outer"));
            lend(Some(&inner), || assert_eq!(now().as_deref(), Some("inner")));
            lend(None, || assert_eq!(now(), None));
            assert_eq!(now().as_deref(), Some("outer"));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lend(Some(&inner), || panic!("on purpose"))));
            assert!(panicked.is_err());
            assert_eq!(now().as_deref(), Some("outer"));
            assert_eq!(std::thread::spawn(now).join().unwrap(), None);
        });
        assert_eq!(now(), None);
    }
}
