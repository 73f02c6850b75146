//! [`both`]: two futures in one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Completes when both futures have, or one has failed. The futures are borrowed, because moving
/// them here would make the caller's future twice as large.
pub(crate) fn both<T, E>(
    mut one: Pin<&mut impl Future<Output = Result<T, E>>>,
    mut other: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> impl Future<Output = Result<(T, T), E>> {
    let (mut first, mut second) = (None, None);
    poll_fn(move |cx| {
        if first.is_none()
            && let Poll::Ready(result) = one.as_mut().poll(cx)
        {
            first = Some(result?);
        }
        if second.is_none()
            && let Poll::Ready(result) = other.as_mut().poll(cx)
        {
            second = Some(result?);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready(Ok((one, other))),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
}
