//! Tests of closures: captures of every size, drops, panics, sending.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{CallOnce, Inline1, Inline3, SendOnce, Storage, fits};

type Closure = CallOnce<Inline3, &'static str, String, usize>;

/// A value that counts its clones.
fn counted() -> Rc<()> {
    Rc::new(())
}

fn call<P: Storage>(
    closure: CallOnce<P, &'static str, String, usize>,
    word: &'static str,
) -> (usize, String) {
    let mut text = String::new();
    let result = closure.call(&word, &mut text);
    (result, text)
}

#[test]
fn closures_of_every_size_keep_their_captures() {
    assert_eq!(call(Closure::new(|_, _| 1), ""), (1, String::new()));
    let small = [1u8; 3];
    let closure = Closure::new(move |word: &&str, text: &mut String| {
        text.push_str(word);
        small.map(usize::from).into_iter().sum()
    });
    assert_eq!(call(closure, "small"), (3, "small".to_owned()));
    let large = [1usize; 100];
    assert!(!fits::<[usize; 100], Inline3>());
    let closure = Closure::new(move |word: &&str, text: &mut String| {
        text.push_str(word);
        large.into_iter().sum()
    });
    assert_eq!(call(closure, "large"), (100, "large".to_owned()));
}

#[test]
fn captures_with_larger_alignment_than_a_word_are_boxed() {
    #[repr(align(16))]
    struct Pair(u8);
    let pair = Pair(7);
    assert!(size_of::<Pair>() <= size_of::<Inline3>());
    assert!(!fits::<Pair, Inline3>());
    let closure = Closure::new(move |_, _| {
        let pair = &pair;
        assert!((&raw const *pair).is_aligned());
        usize::from(pair.0)
    });
    assert_eq!(call(closure, "").0, 7);
}

#[test]
fn captures_are_dropped_exactly_once() {
    let (count, large) = (counted(), [0usize; 9]);
    let (one, two) = (count.clone(), count.clone());
    let closures: [Closure; 2] = [
        CallOnce::new(move |_, _| Rc::strong_count(&one)),
        CallOnce::new(move |_, _| Rc::strong_count(&two) + large.len()),
    ];
    assert_eq!(Rc::strong_count(&count), 3);
    let [small, boxed] = closures;
    assert_eq!(call(small, "").0, 3);
    assert_eq!(Rc::strong_count(&count), 2);
    drop(boxed);
    assert_eq!(Rc::strong_count(&count), 1);
}

#[test]
fn captures_of_a_closure_that_panics_are_dropped_once() {
    let count = counted();
    let kept = count.clone();
    let closure: Closure = CallOnce::new(move |_, _| {
        let _kept = kept;
        panic!("as planned")
    });
    assert!(catch_unwind(AssertUnwindSafe(|| call(closure, ""))).is_err());
    assert_eq!(Rc::strong_count(&count), 1);
}

#[test]
fn a_closure_is_called_on_the_thread_it_was_sent_to() {
    let (word, large) = (String::from("sent"), [1usize; 8]);
    let sent: [SendOnce<Inline3, &'static str, String, usize>; 2] = [
        SendOnce::new(move |_: &&'static str, text: &mut String| {
            text.push_str(&word);
            0
        }),
        SendOnce::new(move |_: &&'static str, _: &mut String| large.len()),
    ];
    let text = std::thread::spawn(move || sent.map(|sent| call(sent.into_call_once(), "")));
    let [(_, word), (length, _)] = text.join().unwrap();
    assert_eq!((word.as_str(), length), ("sent", 8));
}

#[test]
fn one_word_holds_a_number_or_a_pointer() {
    type Small = CallOnce<Inline1, &'static str, String, usize>;
    let (count, number) = (counted(), 3usize);
    let kept = count.clone();
    let closures = [
        Small::new(|_, _| 0),
        Small::new(move |_, _| number),
        Small::new(move |_, _| Rc::strong_count(&kept)),
        Small::new(move |word, _| number + word.len()),
    ];
    assert_eq!(closures.map(|closure| call(closure, "1234").0), [0, 3, 2, 7]);
    assert_eq!(Rc::strong_count(&count), 1);
    assert!(fits::<Rc<()>, Inline1>() && !fits::<&str, Inline1>());
}

/// An `Option` of a closure is no larger than the closure.
#[test]
fn a_closure_is_its_storage_and_a_pointer() {
    let words = |bytes| bytes / size_of::<usize>();
    assert_eq!(words(size_of::<Option<CallOnce<Inline1, (), (), ()>>>()), 2);
    assert_eq!(words(size_of::<Option<CallOnce<Inline3, (), (), ()>>>()), 4);
}
