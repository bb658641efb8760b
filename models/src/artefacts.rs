//! The shipped files, as bytes inside the program.
//!
//! They are included rather than looked up, so that a program works wherever
//! it is moved to; the price is their size in every program that names them.

/// A data set in the four IDX files of MNIST, each gzip, as they are on disk.
#[derive(Clone, Copy, Debug)]
pub struct IdxFiles {
    /// `train-images-idx3-ubyte.gz`.
    pub train_images: &'static [u8],
    /// `train-labels-idx1-ubyte.gz`.
    pub train_labels: &'static [u8],
    /// `t10k-images-idx3-ubyte.gz`.
    pub test_images: &'static [u8],
    /// `t10k-labels-idx1-ubyte.gz`.
    pub test_labels: &'static [u8],
}

impl IdxFiles {
    /// Each file with the name it has on disk: written under these, the set
    /// opens like the full one.
    pub fn named(&self) -> [(&'static str, &'static [u8]); 4] {
        [
            ("train-images-idx3-ubyte.gz", self.train_images),
            ("train-labels-idx1-ubyte.gz", self.train_labels),
            ("t10k-images-idx3-ubyte.gz", self.test_images),
            ("t10k-labels-idx1-ubyte.gz", self.test_labels),
        ]
    }
}

/// Class names of Fashion-MNIST, in label order.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The first 6,000 training and 2,000 test images of Fashion-MNIST, 28x28 grey.
///
/// How it was cut, and its licence (MIT), stand in `data/fashion-mnist`.
pub fn fashion_mnist() -> IdxFiles {
    IdxFiles {
        train_images: include_bytes!("../data/fashion-mnist/train-images-idx3-ubyte.gz"),
        train_labels: include_bytes!("../data/fashion-mnist/train-labels-idx1-ubyte.gz"),
        test_images: include_bytes!("../data/fashion-mnist/t10k-images-idx3-ubyte.gz"),
        test_labels: include_bytes!("../data/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
    }
}

/// The float MobileNetV1 that `bitat train` made on Fashion-MNIST, as ONNX.
pub fn fashion_mnist_float() -> &'static [u8] {
    include_bytes!("../fashion-mnist/mobilenet_v1_0.25.onnx")
}

/// The packed 1-bit network that `bitat convert` made of [`fashion_mnist_float`].
pub fn fashion_mnist_packed() -> &'static [u8] {
    include_bytes!("../fashion-mnist/mobilenet_v1_0.25.bitat")
}

/// A packed 1-bit MobileNetV1 0.25 for 96x96 RGB and two classes, which stands for the
/// size and speed of that shape: see its card.
pub fn vww_packed() -> &'static [u8] {
    include_bytes!("../vww/mobilenet_v1_0.25_96.bitat")
}
