//! A machine to look at: a tree of files and a kernel to ask. Puts the two
//! together and nothing more.

use crate::{
    probe::{Fixed, Kernel, Probe},
    root::Root,
};

/// A machine: its files and its kernel.
#[derive(Debug)]
pub struct Machine {
    root: Root,
    probe: Box<dyn Probe>,
}

impl Machine {
    /// The machine this process runs on.
    pub fn host() -> Machine {
        Machine::new(Root::host(), Kernel)
    }

    /// The machine whose files lie below `root`. Questions to its kernel are
    /// answered only if that is the machine we run on.
    pub fn at(root: Root) -> Machine {
        if root.is_host() {
            Machine::new(root, Kernel)
        } else {
            Machine::new(root, Fixed::unknown())
        }
    }

    /// Any files with any kernel.
    pub fn new(root: Root, probe: impl Probe + 'static) -> Machine {
        Machine {
            root,
            probe: Box::new(probe),
        }
    }

    /// Its files.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Its kernel.
    pub fn probe(&self) -> &dyn Probe {
        &*self.probe
    }
}
