//! What state a connection is in.

use bitflags::bitflags;

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        /// The user has paused reading.
        const PAUSED = 1;
        /// The peer sends nothing more.
        const EOF = 1 << 1;
        /// To be closed when the queue is empty.
        const CLOSING = 1 << 2;
        /// To tell the peer that nothing more comes, when the queue is empty.
        const SHUTTING = 1 << 3;
        /// The peer has been told.
        const SHUT = 1 << 4;
        /// Over; `connection_lost` is due.
        const DONE = 1 << 5;
        /// The protocol knows that the queue is too long.
        const TOLD = 1 << 6;
        /// The ready deque has an entry of the connection that no event of its stream has put there.
        const FED = 1 << 7;
        /// The queue is not empty.
        const QUEUED = 1 << 8;
        /// Everything is sent and the peer has been told; its end is awaited.
        const LINGERING = 1 << 9;
        /// The stream has two descriptors.
        const PAIR = 1 << 10;
        /// The protocol does not know that there is a connection.
        const NEW = 1 << 11;
        /// The kernel tells when input begins, and not that some is left.
        const EDGE = 1 << 12;
        /// There is perhaps more to read, of which the kernel tells no more; a read that would have
        /// blocked says that there is not.
        const MORE = 1 << 13;
        /// Reading waits for the queue to be short again.
        const HELD = 1 << 14;
        /// The callback is running.
        const RUNNING = 1 << 15;
        /// The stream is of a type that may hold bytes of which the kernel knows nothing, in either
        /// direction.
        const OWN = 1 << 16;
        /// Writing has failed. The input that has arrived is delivered, then the error.
        const FAILING = 1 << 17;
        /// The stream has taken bytes that it could not give to the kernel yet.
        const UNSENT = 1 << 18;
        /// A limit of time is in force.
        const TIMED = 1 << 19;
        /// The callback has been replaced while it runs; the new one has the connection.
        const REPLACED = 1 << 20;

        /// Nothing more is taken to be written.
        const MUTE = Self::CLOSING.bits() | Self::SHUTTING.bits() | Self::SHUT.bits()
            | Self::DONE.bits() | Self::FAILING.bits();
        /// Nothing is read, or nothing of it is told.
        const DEAF = Self::PAUSED.bits() | Self::HELD.bits() | Self::EOF.bits()
            | Self::CLOSING.bits() | Self::DONE.bits();
        /// The callback has more to look at than what came in.
        const BUSY = Self::QUEUED.bits() | Self::TOLD.bits() | Self::SHUTTING.bits()
            | Self::CLOSING.bits() | Self::DONE.bits() | Self::MORE.bits() | Self::UNSENT.bits()
            | Self::TIMED.bits() | Self::REPLACED.bits();
        /// Bytes that wait for the kernel to take more.
        const PENDING = Self::QUEUED.bits() | Self::UNSENT.bits();
        /// A read needs a closer look than its count.
        const CAREFUL_READ = Self::CLOSING.bits() | Self::DONE.bits() | Self::OWN.bits()
            | Self::FAILING.bits() | Self::TIMED.bits();
        /// A write needs more than one call of the stream.
        const CAREFUL_WRITE = Self::MUTE.bits() | Self::QUEUED.bits() | Self::OWN.bits()
            | Self::TIMED.bits();
        /// The callback has something to do before it reads.
        const CAREFUL_TURN = Self::NEW.bits() | Self::OWN.bits();
    }
}
