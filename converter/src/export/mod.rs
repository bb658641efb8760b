//! A packed network as source code, for firmware that has no file system.

pub mod c;
pub mod name;
pub mod rust;

use bitat_format::View;

use name::Name;

/// What stands at the top of every file written here.
const ORIGIN: &str = "Written by `bitat export`: write it again rather than change it.";

/// A packed network and what it is called in source code.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// What every identifier begins with.
    pub name: Name,
    /// The whole file.
    pub bytes: &'a [u8],
    /// The same, validated.
    pub view: View<'a>,
    /// Bytes of arena that a run needs, planned by rows.
    pub arena_bytes: usize,
    /// The same with every layer whole.
    pub whole_arena_bytes: usize,
}

impl<'a> Source<'a> {
    /// The names of all classes, or none.
    fn class_names(&self) -> Vec<&'a str> {
        (0..self.view.class_count()).map_while(|i| self.view.class_name(i)).collect()
    }

    /// Numbers that a program needs before it runs: name's end, value, meaning.
    /// What the arenas are for, by rows and whole, the language says.
    fn numbers(&self, arenas: [&'static str; 2]) -> [(&'static str, usize, &'static str); 9] {
        let input = self.view.input();
        let (height, width, channels) = (input.height, input.width, input.channels);
        [
            ("MODEL_BYTES", self.bytes.len(), "Bytes of the packed file."),
            ("ARENA_BYTES", self.arena_bytes, arenas[0]),
            ("WHOLE_ARENA_BYTES", self.whole_arena_bytes, arenas[1]),
            ("TENSORS", self.view.tensor_count(), "Tensors, for which a plan needs room."),
            ("IMAGE_HEIGHT", height, "Rows of an image."),
            ("IMAGE_WIDTH", width, "Columns of an image."),
            ("IMAGE_CHANNELS", channels, "Channels of an image."),
            ("IMAGE_BYTES", height * width * channels, "Bytes of an image: row, column, channel."),
            ("CLASSES", self.view.class_count(), "Scores that a run gives, one per class."),
        ]
    }
}
