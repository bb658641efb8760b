//! How a call went: one code for each thing that a caller can do about it.

use core::ffi::CStr;

use bitat_format::ErrorKind;

/// How a call went. Codes are only ever added.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All done.
    Ok = 0,
    /// A pointer is null.
    NullPointer = 1,
    /// A pointer is not aligned for what it points to.
    MisalignedPointer = 2,
    /// A buffer would reach past the end of the address space.
    Length = 3,
    /// A buffer that is written shares bytes with another one.
    Overlap = 4,
    /// The network was not initialised, or its initialisation failed.
    NotInitialised = 5,
    /// There is no such instruction set, or this processor cannot run it.
    Isa = 6,
    /// The model has no such class, or no class names.
    NoName = 7,

    /// The model does not start at a multiple of BITAT_MODEL_ALIGN.
    ModelAlignment = 16,
    /// The bytes are no packed network.
    ModelForeign = 17,
    /// The model has a format version that this library does not know.
    ModelVersion = 18,
    /// The model ends too early.
    ModelTruncated = 19,
    /// There are bytes behind the end of the model.
    ModelTrailing = 20,
    /// The model's checksum does not match: it is damaged.
    ModelChecksum = 21,
    /// The model breaks a rule of the format.
    ModelInvalid = 22,
    /// The model is larger than the format or this machine's addresses allow.
    ModelLimit = 23,
    /// The network has more than BITAT_TENSORS tensors.
    ModelTensors = 24,

    /// The image does not have exactly the bytes that the network reads.
    ImageLength = 32,
    /// The arena is too short.
    ArenaLength = 33,
    /// The arena does not start at a multiple of BITAT_ARENA_ALIGN.
    ArenaAlignment = 34,
    /// There is not a score for each class.
    ScoresLength = 35,

    /// A bug in the library; please report it.
    Internal = 48,
}

impl Status {
    /// Every code.
    pub(crate) const ALL: [Status; 22] = [
        Status::Ok,
        Status::NullPointer,
        Status::MisalignedPointer,
        Status::Length,
        Status::Overlap,
        Status::NotInitialised,
        Status::Isa,
        Status::NoName,
        Status::ModelAlignment,
        Status::ModelForeign,
        Status::ModelVersion,
        Status::ModelTruncated,
        Status::ModelTrailing,
        Status::ModelChecksum,
        Status::ModelInvalid,
        Status::ModelLimit,
        Status::ModelTensors,
        Status::ImageLength,
        Status::ArenaLength,
        Status::ArenaAlignment,
        Status::ScoresLength,
        Status::Internal,
    ];

    /// What is wrong and what to do, for people.
    pub(crate) const fn text(self) -> &'static CStr {
        match self {
            Status::Ok => c"ok",
            Status::NullPointer => c"a pointer is null",
            Status::MisalignedPointer => c"a pointer is not aligned for what it points to",
            Status::Length => c"a buffer would reach past the end of the address space",
            Status::Overlap => c"a buffer that is written shares bytes with another one",
            Status::NotInitialised => c"the network is not initialised; call bitat_init first",
            Status::Isa => c"no such instruction set, or this processor cannot run it",
            Status::NoName => c"the model has no such class, or no class names",
            Status::ModelAlignment => c"the model is misaligned; place it at a multiple of 16",
            Status::ModelForeign => c"no packed network; give a file written by bitat convert",
            Status::ModelVersion => {
                c"another format version; convert the network with this library's version of bitat"
            }
            Status::ModelTruncated => c"the model ends too early; copy it again",
            Status::ModelTrailing => c"there are bytes behind the model; give its exact length",
            Status::ModelChecksum => c"the model is damaged; copy it again",
            Status::ModelInvalid => c"the model breaks a rule of the format; convert it again",
            Status::ModelLimit => c"the network is too large for the format or this machine",
            Status::ModelTensors => c"the network has more than BITAT_TENSORS tensors",
            Status::ImageLength => c"the image must have exactly the bytes the network reads",
            Status::ArenaLength => c"the arena is too short",
            Status::ArenaAlignment => c"the arena must start at a multiple of BITAT_ARENA_ALIGN",
            Status::ScoresLength => c"there must be room for a score per class",
            Status::Internal => c"bug in the library, please report it",
        }
    }
}

impl From<Result<(), Status>> for Status {
    fn from(result: Result<(), Status>) -> Status {
        result.err().unwrap_or(Status::Ok)
    }
}

impl From<bitat_format::Error> for Status {
    fn from(error: bitat_format::Error) -> Status {
        match error.kind {
            ErrorKind::Misaligned => Status::ModelAlignment,
            ErrorKind::Magic => Status::ModelForeign,
            ErrorKind::Version => Status::ModelVersion,
            ErrorKind::Truncated => Status::ModelTruncated,
            ErrorKind::Trailing => Status::ModelTrailing,
            ErrorKind::Checksum => Status::ModelChecksum,
            ErrorKind::Limit => Status::ModelLimit,
            _ => Status::ModelInvalid,
        }
    }
}

impl From<bitat_runtime::Error> for Status {
    fn from(error: bitat_runtime::Error) -> Status {
        use bitat_runtime::Error;
        match error {
            Error::Image { .. } => Status::ImageLength,
            Error::Scores { .. } => Status::ScoresLength,
            Error::ArenaLength { .. } => Status::ArenaLength,
            Error::ArenaAlignment => Status::ArenaAlignment,
            Error::Capacity { .. } => Status::ModelTensors,
            // No function here starts threads.
            Error::Threads { .. } | Error::Internal { .. } => Status::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own() {
        for (i, a) in Status::ALL.iter().enumerate() {
            assert!(!a.text().is_empty());
            for b in &Status::ALL[..i] {
                assert!(*a as i32 != *b as i32 && a.text() != b.text(), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_bug_of_the_runtime_is_reported_as_one() {
        let bug = bitat_runtime::Error::Internal { layer: 3, misuse: None };
        assert_eq!(Status::from(bug), Status::Internal);
    }
}
