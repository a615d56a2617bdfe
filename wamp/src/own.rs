//! Turning what borrows from a received frame into what owns itself. A copy is something the
//! caller asks for, with one word, for a whole message at once.

use std::borrow::Cow;

/// Detaches a value from the frame it borrows from.
pub(crate) trait IntoOwned {
    /// The same, borrowing from nothing.
    type Owned;
    fn into_owned(self) -> Self::Owned;
}

impl<B: ?Sized + ToOwned + 'static> IntoOwned for Cow<'_, B> {
    type Owned = Cow<'static, B>;
    fn into_owned(self) -> Cow<'static, B> {
        Cow::Owned(Cow::into_owned(self))
    }
}

impl<T: IntoOwned> IntoOwned for Option<T> {
    type Owned = Option<T::Owned>;
    fn into_owned(self) -> Self::Owned {
        self.map(IntoOwned::into_owned)
    }
}

impl<T: IntoOwned> IntoOwned for Vec<T> {
    type Owned = Vec<T::Owned>;
    fn into_owned(self) -> Self::Owned {
        self.into_iter().map(IntoOwned::into_owned).collect()
    }
}

impl<T: IntoOwned> IntoOwned for Box<T> {
    type Owned = Box<T::Owned>;
    fn into_owned(self) -> Self::Owned {
        Box::new((*self).into_owned())
    }
}

/// For types that borrow nothing.
macro_rules! owns_itself {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::own::IntoOwned for $type {
            type Owned = Self;
            fn into_owned(self) -> Self {
                self
            }
        }
    )+};
}
pub(crate) use owns_itself;

owns_itself!(
    bool,
    u64,
    crate::id::Id,
    crate::value::Value,
    crate::value::Dict
);
