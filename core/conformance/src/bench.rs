//! What the kit asks of whoever runs it.

use std::collections::BTreeMap;

use berth_plugin_sdk::{Data, Device, Fault, Kib, Machine};

/// What lies in a pool, as its bench sees it without the provider: for each file, logical volume, device and so on its key, and what one
/// can tell of it (size, mark). Equal inventories mean that nothing came, went or changed.
pub type Inventory = BTreeMap<String, String>;

/// The pool on which the kit works, and the host's part of the contract.
pub trait Bench {
    /// The machine, bound to the pool.
    fn machine(&self) -> &dyn Machine;

    /// What lies in the pool, also what the provider hides or cannot see, and the devices that serve it, also those whose object is gone.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn inventory(&self) -> Result<Inventory, Fault>;

    /// Writes `stamp` at the begin of a device and at its end, and makes it durable.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault>;

    /// Reads the stamp at the begin of a device; 0 where zeroes are.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn read(&self, device: &Device) -> Result<u64, Fault>;

    /// Reads the stamp at the end of a device; 0 where zeroes are, `None`: this bench cannot.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn read_end(&self, device: &Device) -> Result<Option<u64>, Fault> {
        let _ = device;
        Ok(None)
    }

    /// Carries out [`Filled::Copy`](berth_plugin_sdk::Filled::Copy).
    ///
    /// # Errors
    /// Any fault of the machine.
    fn copy(&self, from: &Data, to: &Data) -> Result<(), Fault>;

    /// Carries out [`Filled::Pipe`](berth_plugin_sdk::Filled::Pipe).
    ///
    /// # Errors
    /// Any fault of the machine.
    fn pipe(&self, sender: &[String], receiver: &[String]) -> Result<(), Fault>;

    /// Takes the mark off what stands in the inventory under `key`, as if a stranger had made it; `false`: this bench cannot.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn disown(&self, key: &str) -> Result<bool, Fault> {
        let _ = key;
        Ok(false)
    }

    /// Removes what [`disown`](Bench::disown) made a stranger's.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn discard(&self, key: &str) -> Result<(), Fault> {
        let _ = key;
        Ok(())
    }

    /// Lets strangers take all the space that is left, or give it back; `false`: this bench cannot.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn fill(&self, full: bool) -> Result<bool, Fault> {
        let _ = full;
        Ok(false)
    }

    /// Whether the whole space of the pool may be taken for a moment; `false`: others would suffer.
    fn may_take_all(&self) -> bool {
        true
    }

    /// By how much free space may differ from what the sizes of volumes say: what others do meanwhile, and what the pool keeps for itself.
    fn slack(&self) -> Kib {
        Kib(0)
    }
}
