//! A packed network as C: one header, or a source with its header.

use std::fmt::Write;

use super::{ORIGIN, Source};

/// Bytes of the model in a line.
const LINE: usize = 16;

/// Everything in one header, for one source file to include.
pub fn alone(source: &Source) -> String {
    let comment = "It holds the model itself: include it in one source file only.";
    let mut body = String::new();
    data(source, "static ", &mut body);
    header(source, comment, &body)
}

/// A source with the data, and the header that declares it and is called
/// `header_name`.
pub fn pair(source: &Source, header_name: &str) -> (String, String) {
    let (name, upper) = (source.name.lower(), source.name.upper());
    let mut code = format!("/* {ORIGIN} */\n\n#include \"{header_name}\"\n");
    data(source, "", &mut code);

    let mut declared = format!(
        "\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         /* The packed file, at a multiple of 16. */\n\
         extern const uint8_t {name}_model[{upper}_MODEL_BYTES];\n"
    );
    if !source.class_names().is_empty() {
        declared += &format!("\nextern const char *const {name}_class_names[{upper}_CLASSES];\n");
    }
    declared.push_str("\n#ifdef __cplusplus\n}\n#endif\n");
    (code, header(source, &format!("The model itself is in {name}_model."), &declared))
}

fn header(source: &Source, comment: &str, body: &str) -> String {
    let upper = source.name.upper();
    let mut text = format!(
        "/*\n * {ORIGIN}\n * {comment}\n */\n\
         #ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n\n\
         #define {upper}_NAME {}\n",
        literal(source.view.name())
    );
    let arenas = [
        "Bytes of arena that a run needs: with these bitat_init has layers run by rows.",
        "Bytes of arena with which bitat_init has layers run whole, which is faster.",
    ];
    for (end, value, meaning) in source.numbers(arenas) {
        let _ = writeln!(text, "\n/* {meaning} */\n#define {upper}_{end} {value}");
    }
    let _ = writeln!(
        text,
        "\n#if defined(BITAT_TENSORS) && {upper}_TENSORS > BITAT_TENSORS\n\
         #error \"this network has more tensors than a bitat_network has room for\"\n#endif\n\
         {body}\n#endif"
    );
    text
}

/// The arrays, with `storage` before them.
fn data(source: &Source, storage: &str, text: &mut String) {
    let (name, upper) = (source.name.lower(), source.name.upper());
    let _ = writeln!(
        text,
        "\n#if defined(__GNUC__) || defined(__clang__) || defined(__ICCARM__)\n\
         #define {upper}_ALIGNED __attribute__((aligned(16)))\n\
         #elif defined(_MSC_VER)\n\
         #define {upper}_ALIGNED __declspec(align(16))\n\
         #elif defined(__cplusplus)\n\
         #define {upper}_ALIGNED alignas(16)\n\
         #else\n\
         #define {upper}_ALIGNED _Alignas(16)\n\
         #endif\n\n\
         {upper}_ALIGNED {storage}const uint8_t {name}_model[{upper}_MODEL_BYTES] = {{"
    );
    for line in source.bytes.chunks(LINE) {
        text.push_str("   ");
        for byte in line {
            let _ = write!(text, " 0x{byte:02x},");
        }
        text.push('\n');
    }
    text.push_str("};\n");
    let names = source.class_names();
    if !names.is_empty() {
        let _ =
            writeln!(text, "\n{storage}const char *const {name}_class_names[{upper}_CLASSES] = {{");
        for class in names {
            let _ = writeln!(text, "    {},", literal(class));
        }
        text.push_str("};\n");
    }
}

/// A text as a C string of its UTF-8 bytes, whatever the compiler's characters
/// are. Escapes are octal, which end after three digits.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => literal.extend(['\\', byte.into()]),
            // Two question marks could begin a trigraph.
            b'?' => literal.push_str("\\?"),
            b' '..=b'~' => literal.push(byte.into()),
            _ => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn texts_as_c_strings() {
        assert_eq!(literal("T-shirt/top"), r#""T-shirt/top""#);
        assert_eq!(literal(r#"a "b" \n ??/"#), r#""a \"b\" \\n \?\?/""#);
        assert_eq!(literal("né7*/"), r#""n\303\2517*/""#);
    }
}
