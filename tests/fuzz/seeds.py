#!/usr/bin/env python3
"""Makes an input for metadata_fuzz of an image: seeds.py IMAGE SEED."""

import struct
import sys

METADATA_END = 11
MORE_FOLLOWS = 1
CONTENTS = (10, 17)  # of files and segments: a little of it is enough
MOST_CONTENT = 8192

with open(sys.argv[1], "rb") as file:
    image = file.read()
seed, at, whole = b"", 0, b""
first = True
while at + 24 <= len(image):
    kind, _version, flags, size = struct.unpack_from("<HHII", image, at)
    payload = image[at + 24:at + 24 + size]
    at += 24 + size
    if first:  # the header, which the target writes itself
        first = False
        continue
    if kind == METADATA_END:
        break
    whole += payload
    if flags & MORE_FOLLOWS:
        continue
    if kind in CONTENTS and len(whole) > MOST_CONTENT:
        whole = b""
        continue
    seed += struct.pack("<H", kind) + len(whole).to_bytes(3, "little") + whole
    whole = b""
with open(sys.argv[2], "wb") as file:
    file.write(seed)
