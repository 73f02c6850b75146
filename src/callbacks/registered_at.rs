//! The tick of a registration, in 31 bits next to a flag: an entry has no room for more.
//!
//! A tick number has 64 bits. So a callback that was registered 2^30 ticks ago, or earlier, is
//! [aged](RegisteredAt::refresh) every 2^30 ticks, and its age is no longer counted.

/// Tick in which a callback was registered, and the flag of a callback in the background.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegisteredAt(u32);

/// Highest age that is counted, in ticks.
pub(crate) const MAX_AGE: u32 = (1 << 30) - 1;

/// Number of ticks after which [`refresh`](RegisteredAt::refresh) must be called again.
pub(crate) const REFRESH_EVERY: u64 = 1 << 30;

const BACKGROUND: u32 = 1 << 31;

impl RegisteredAt {
    /// Returns the mark of a callback in the foreground that is registered in `tick`.
    #[inline]
    pub(crate) fn new(tick: u64) -> RegisteredAt {
        RegisteredAt(tick as u32 & !BACKGROUND)
    }

    /// Returns the number of ticks since the registration, at most [`MAX_AGE`].
    pub(crate) fn age(self, tick: u64) -> u32 {
        self.counted(tick).min(MAX_AGE)
    }

    fn counted(self, tick: u64) -> u32 {
        (tick as u32).wrapping_sub(self.0) & !BACKGROUND
    }

    /// Returns true if the callback does not keep [`run`](crate::EventLoop::run) alive.
    #[inline]
    pub(crate) fn is_background(self) -> bool {
        self.0 & BACKGROUND != 0
    }

    pub(crate) fn set_background(&mut self, background: bool) {
        self.0 = self.0 & !BACKGROUND | u32::from(background) << 31;
    }

    /// Keeps an old mark from wrapping to zero.
    pub(crate) fn refresh(&mut self, tick: u64) {
        if self.counted(tick) > MAX_AGE {
            let registered = RegisteredAt::new(tick.wrapping_sub(u64::from(MAX_AGE)));
            self.0 = self.0 & BACKGROUND | registered.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_exact_up_to_its_limit() {
        for registered in [0, 1, u64::from(u32::MAX), 1 << 31, (1 << 40) + 7] {
            let mark = RegisteredAt::new(registered);
            for age in [0, 1, 1000, MAX_AGE - 1, MAX_AGE, MAX_AGE + 1] {
                assert_eq!(mark.age(registered + u64::from(age)), age.min(MAX_AGE), "{registered}");
            }
        }
    }

    #[test]
    fn an_old_mark_stays_old() {
        let registered = 12_345;
        let mut mark = RegisteredAt::new(registered);
        mark.set_background(true);
        for tick in (1..20).map(|round| round * REFRESH_EVERY) {
            let before = mark.age(tick - 1);
            assert_eq!(u64::from(before), (tick - 1 - registered).min(MAX_AGE.into()));
            mark.refresh(tick);
            assert_eq!(u64::from(mark.age(tick)), (tick - registered).min(MAX_AGE.into()));
            assert!(mark.is_background());
        }
    }

    #[test]
    fn the_flag_does_not_change_the_age() {
        let mut mark = RegisteredAt::new(5);
        for background in [true, true, false, true, false] {
            mark.set_background(background);
            assert_eq!((mark.is_background(), mark.age(9)), (background, 4));
        }
    }
}
