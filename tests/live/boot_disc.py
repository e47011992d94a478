"""A CD that boots: it says one sentence, and then each key that is typed.

On the screen and on the serial console. Real mode, loaded by the BIOS to address 7C00
as El Torito says: 40 bytes of program, so that no bootloader has to be installed.
"""

import io
from pathlib import Path

import pycdlib

SENTENCE = "Booted from the CD-ROM."
SECTOR = 2048
# xor ax, ax; mov ds, ax; mov si, text; mov dx, COM1; next: lodsb; test al, al; jz keys;
# out dx, al; mov ah, teletype; xor bx, bx; int video; jmp next; keys: xor ah, ah;
# int keyboard; mov dx, COM1; out dx, al; mov ah, teletype; xor bx, bx; int video;
# jmp keys. The text follows at 7C28.
PROGRAM = bytes.fromhex(
    "31c0 8ed8 be287c baf803 ac 84c0 7409 ee b40e 31db cd10 ebf2"
    "30e4 cd16 baf803 ee b40e 31db cd10 ebf0"
)


def write_boot_disc(path: Path) -> None:
    """Write the ISO file."""
    code = (PROGRAM + SENTENCE.encode() + b"\r\n\0").ljust(SECTOR, b"\0")
    iso = pycdlib.PyCdlib()
    iso.new(vol_ident="BOOT")
    iso.add_fp(io.BytesIO(code), len(code), "/BOOT.;1")
    iso.add_eltorito("/BOOT.;1", bootcatfile="/BOOT.CAT;1", boot_load_size=4)
    iso.write(str(path))
    iso.close()
