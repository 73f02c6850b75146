//! The calls that have made the remotes of a loop, for snapshots.
//!
//! The list belongs to the thread of the loop. Other threads clone and drop remotes without it: the
//! number of remotes is that of the references to their site.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

/// A call of [`LoopHandle::remote`](super::LoopHandle::remote).
#[derive(Debug)]
pub(super) struct RemoteSite {
    pub(super) location: &'static Location<'static>,
    /// The tick of the first call, since which the site always had a remote.
    pub(super) made_in: u64,
}

/// The sites with remotes.
#[derive(Debug, Default)]
pub(super) struct RemoteSites {
    sites: RefCell<Vec<Arc<RemoteSite>>>,
}

impl RemoteSites {
    /// Returns the site of a call in the tick `tick`.
    pub(super) fn site(&self, location: &'static Location<'static>, tick: u64) -> Arc<RemoteSite> {
        let mut sites = self.sites.borrow_mut();
        sites.retain(|site| remotes_of(site) > 0);
        if let Some(site) = sites.iter().find(|site| site.location == location) {
            return site.clone();
        }
        let site = Arc::new(RemoteSite { location, made_in: tick });
        sites.push(site.clone());
        site
    }

    /// Passes each site that has remotes to `visit`, with their number.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&RemoteSite, usize)) {
        for site in &*self.sites.borrow() {
            match remotes_of(site) {
                0 => {}
                remotes => visit(site, remotes),
            }
        }
    }
}

/// Returns the number of remotes of a site. The list has a reference too.
fn remotes_of(site: &Arc<RemoteSite>) -> usize {
    Arc::strong_count(site) - 1
}
