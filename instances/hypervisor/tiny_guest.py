"""A whole guest of some 300 bytes: `accel` boots it to learn whether KVM works here, and the driver's own tests drive it.

It needs no image: a multiboot kernel (32-bit, flat memory), written down as machine code with its listing beside it. A device that is
to be unplugged it lets go at once.
"""

import struct
from typing import Final

MARKER: Final = b"OPSWEB-GUEST-READY\r\n"  # the first thing it says on the console; afterwards it echoes what is typed
POWER_OFF: Final = b"\x04"  # typed on its console: power off by ACPI, as it does when the power button is pressed
END_WITH_3: Final = b"\x05"  # say "exit 3" on the status port, then power off
PANIC: Final = b"\x10"  # tell the pvpanic device that the kernel panicked
REBOOT: Final = b"\x12"  # reset itself

BOOT_LINES: Final = b"init 1\nprogram 2\nport tcp 8080 3\n"
LAST_LINES: Final = b"exit 3 4\npoweroff 5\n"

_LOAD: Final = 0x100000  # where multiboot puts it
_HEADER_SIZE: Final = 32
_TEXTS: Final = (BOOT_LINES, MARKER, LAST_LINES)

# offset  machine code    what it does
_CODE: Final = """
  20  bc00000900    start:  mov  esp, 0x90000
  25  ba02060000            mov  edx, 0x602         ; ACPI PM1 enable (q35 and pc have it at 0x600)
  2a  b800010000            mov  eax, 0x100         ; ... the power button
  2f  66ef                  out  dx, ax
  31  bbf8020000            mov  ebx, 0x2f8         ; second serial port
  36  be06011000            mov  esi, BOOT_LINES
  3b  e8ac000000            call text
  40  bbf8030000            mov  ebx, 0x3f8         ; first serial port
  45  be28011000            mov  esi, MARKER
  4a  e89d000000            call text
  4f  ba00060000    main:   mov  edx, 0x600         ; ACPI PM1 status
  54  66ed                  in   ax, dx
  56  f6c401                test ah, 1              ; power button pressed?
  59  7533                  jne  off
  5b  bafd030000            mov  edx, 0x3fd
  60  ec                    in   al, dx
  61  a801                  test al, 1              ; a byte typed?
  63  746c                  je   eject
  65  89da                  mov  edx, ebx
  67  ec                    in   al, dx
  68  3c04                  cmp  al, POWER_OFF
  6a  7422                  je   off
  6c  3c05                  cmp  al, END_WITH_3
  6e  740f                  je   ended
  70  3c10                  cmp  al, PANIC
  72  742e                  je   panic
  74  3c12                  cmp  al, REBOOT
  76  7424                  je   reset
  78  e87b000000            call putc
  7d  ebd0                  jmp  main
  7f  bbf8020000    ended:  mov  ebx, 0x2f8
  84  be3d011000            mov  esi, LAST_LINES
  89  e85e000000            call text
  8e  ba04060000    off:    mov  edx, 0x604         ; ACPI PM1 control
  93  b800200000            mov  eax, 0x2000        ; sleep enable, type S5
  98  66ef                  out  dx, ax
  9a  ebf2                  jmp  off
  9c  b0fe          reset:  mov  al, 0xfe           ; keyboard controller: pulse the reset line
  9e  e664                  out  0x64, al
  a0  ebfa                  jmp  reset
  a2  b900000080    panic:  mov  ecx, 0x80000000
  a7  89c8          pci:    mov  eax, ecx
  a9  baf80c0000            mov  edx, 0xcf8
  ae  ef                    out  dx, eax
  af  b2fc                  mov  dl, 0xfc
  b1  ed                    in   eax, dx
  b2  3d361b1100            cmp  eax, 0x111b36      ; pvpanic-pci
  b7  7408                  je   found
  b9  81c100080000          add  ecx, 0x800
  bf  ebe6                  jmp  pci
  c1  8d4110        found:  lea  eax, [ecx+0x10]    ; its first BAR
  c4  b2f8                  mov  dl, 0xf8
  c6  ef                    out  dx, eax
  c7  b2fc                  mov  dl, 0xfc
  c9  ed                    in   eax, dx
  ca  24f0                  and  al, 0xf0
  cc  c60001                mov  byte [eax], 1      ; panicked
  cf  ebfe          halt:   jmp  halt
  d1  31c9          eject:  xor  ecx, ecx
  d3  89c8          slot:   mov  eax, ecx
  d5  bad00c0000            mov  edx, 0xcd0         ; ACPI PCI hotplug (q35 has it at 0xcc0): this bus
  da  ef                    out  dx, eax
  db  b2c4                  mov  dl, 0xc4           ; ... what is to go
  dd  ed                    in   eax, dx
  de  b2c8                  mov  dl, 0xc8           ; ... goes
  e0  ef                    out  dx, eax
  e1  41                    inc  ecx
  e2  80f910                cmp  cl, 16
  e5  75ec                  jne  slot
  e7  e963ffffff            jmp  main
  ec  ac            text:   lodsb
  ed  84c0                  test al, al
  ef  7414                  je   back
  f1  e802000000            call putc
  f6  ebf4                  jmp  text
  f8  50            putc:   push eax
  f9  8d5305                lea  edx, [ebx+5]
  fc  ec            wait:   in   al, dx
  fd  a820                  test al, 0x20           ; room in the transmitter?
  ff  74fb                  je   wait
 101  58                    pop  eax
 102  89da                  mov  edx, ebx
 104  ee                    out  dx, al
 105  c3            back:   ret
"""


def tiny_guest() -> bytes:
    """The kernel image, for `Machine.kernel`; it needs no initrd."""
    code = b"".join(bytes.fromhex(line.split()[1]) for line in _CODE.splitlines() if line)
    data = b"".join(text + b"\0" for text in _TEXTS)
    return _header(_HEADER_SIZE + len(code) + len(data)) + code + data


def _header(size: int) -> bytes:
    """Multiboot header with load addresses (Multiboot Specification 0.6.96, 3.1)."""
    magic, flags = 0x1BADB002, 1 << 16
    return struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, _LOAD, _LOAD, _LOAD + size, 0, _LOAD + _HEADER_SIZE)
