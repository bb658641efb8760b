//! What can be wrong, whose fault it is, and where.

use core::fmt;

/// Why a buffer is not a file of this format, or why a model cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where: bytes from the start of the file. From the writer: of the file
    /// that would have been written.
    pub offset: usize,
    /// The layer concerned, where there is one.
    pub layer: Option<u16>,
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are wrong.
    File,
    /// The call is wrong; the bytes may be good.
    Caller,
    /// The bytes ask for more than this version of the format allows.
    Limit,
}

/// What is wrong. Every rule of FORMAT.md names the kind that breaking it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The buffer does not start at a multiple of 4 in memory.
    Misaligned,
    /// A list of the model given to the writer has the wrong length.
    Length,
    /// The bytes do not begin with the magic of this format.
    Magic,
    /// The version is not one this reader knows.
    Version,
    /// The bytes end too early.
    Truncated,
    /// There are bytes after the end.
    Trailing,
    /// The checksum does not match.
    Checksum,
    /// A field or gap that must be zero is not.
    Reserved,
    /// A blob is not where the one canonical file has it.
    Placement,
    /// A code stands for nothing known.
    Code,
    /// A number is outside its range.
    Range,
    /// A text is not what a name may be.
    Text,
    /// A float is not finite, not positive where it must be, or −0.
    Float,
    /// A weight cannot be: −128, not ±1, or a padding weight that is not 0.
    Weight,
    /// A tensor id names no tensor.
    Tensor,
    /// A tensor has a kind that does not fit its use.
    Kind,
    /// Shapes do not fit together.
    Shape,
    /// A tensor is read before it is written, written twice, or never.
    Order,
    /// A layer writes nothing.
    NoOutput,
    /// The scores are not written by the last layer and by it alone.
    Scores,
    /// There are class names, but not one for each score.
    ClassNames,
    /// Larger than this version of the format allows.
    Limit,
    /// The integers could overflow 32 bits.
    Overflow,
}

impl ErrorKind {
    /// Whose doing this is.
    pub const fn fault(self) -> Fault {
        match self {
            ErrorKind::Misaligned | ErrorKind::Length => Fault::Caller,
            ErrorKind::Limit | ErrorKind::Overflow => Fault::Limit,
            _ => Fault::File,
        }
    }

    /// What is wrong and what to do, for people.
    const fn text(self) -> &'static str {
        use ErrorKind as K;
        match self {
            K::Misaligned => {
                "the buffer in memory must start at a multiple of 4; load the file into an aligned buffer"
            }
            K::Length => "a list of the model is not as long as its shapes say; correct the model",
            K::Magic => "not a packed bitat network; give a file written by `bitat convert`",
            K::Version => "another format version; convert the network again with this version",
            K::Truncated => "the file ends too early; copy or download it again",
            K::Trailing => "there are bytes after the end of the file; pass the file alone",
            K::Checksum => "the checksum does not match, the file is damaged; copy it again",
            K::Reserved => {
                "a byte that must be 0 is not, the file is damaged or newer; convert the network again"
            }
            K::Placement => "a blob is not where it must be; write the file with the writer",
            K::Code => "an unknown code, the file is damaged or newer; convert the network again",
            K::Range => "a number is outside its range; convert the network again",
            K::Text => {
                "a name must be UTF-8, in order and without control characters; correct the name"
            }
            K::Float => {
                "a float must be finite, not −0, and positive if a scale; correct the preprocessing"
            }
            K::Weight => "a weight has a value that cannot be; convert the network again",
            K::Tensor => "there is no such tensor; convert the network again",
            K::Kind => "this kind of tensor does not fit here; convert the network again",
            K::Shape => "the shapes do not fit together; convert the network again",
            K::Order => {
                "every tensor must be written exactly once, before it is read; convert the network again"
            }
            K::NoOutput => "the layer writes nothing; convert the network again",
            K::Scores => {
                "the last layer, and no other, must write scores; convert the network again"
            }
            K::ClassNames => {
                "there must be one class name for each score, or none; correct the list of classes"
            }
            K::Limit => "larger than the format allows; use a smaller network or shorter names",
            K::Overflow => {
                "the integers could overflow; make the layer narrower or its shift or multiplier smaller"
            }
        }
    }
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, offset: usize) -> Error {
        Error { kind, offset, layer: None }
    }

    /// Whose doing this is.
    pub const fn fault(&self) -> Fault {
        self.kind.fault()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.offset)?;
        if let Some(layer) = self.layer {
            write!(f, ", layer {layer}")?;
        }
        write!(f, ": {}", self.kind.text())
    }
}

impl core::error::Error for Error {}
