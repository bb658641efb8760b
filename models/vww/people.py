"""CIFAR-100's people against the rest, as pictures in folders by class.

    python3 people.py CIFAR DIR

CIFAR holds the binary version (train.bin, test.bin); of the rest every 19th
picture is taken, as many as there are people.
"""
import pathlib
import struct
import sys
import zlib

PEOPLE = 14  # the coarse label


def png(planes):
    """A 32x32 RGB picture of three planes as PNG."""
    rows = (bytes(channel[32 * row + i] for i in range(32) for channel in planes) for row in range(32))
    chunks = [(b"IHDR", struct.pack(">2I5B", 32, 32, 8, 2, 0, 0, 0)),
              (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks)


def main(cifar, out):
    for split in ("train", "test"):
        for name in ("non_person", "person"):
            (out / split / name).mkdir(parents=True, exist_ok=True)
        data = (cifar / f"{split}.bin").read_bytes()
        rest = 0
        for index in range(len(data) // 3074):
            record = data[3074 * index : 3074 * (index + 1)]
            person = record[0] == PEOPLE
            rest += not person
            if person or rest % 19 == 0:
                planes = [record[2 + 1024 * i : 2 + 1024 * (i + 1)] for i in range(3)]
                name = "person" if person else "non_person"
                (out / split / name / f"{index:05}.png").write_bytes(png(planes))


main(*map(pathlib.Path, sys.argv[1:]))
