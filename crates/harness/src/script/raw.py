# Makes one FICLONERANGE or FIDEDUPERANGE call, byte by byte as told, and prints what came back.
#   clone SOURCE OFFSET LEN TARGET OFFSET
#   dedupe SOURCE OFFSET LEN COUNT RESERVED1 RESERVED2 CALLER MEMORY [FD OFFSET RESERVED]...
# A descriptor is a path with :ro, :wo, :append, :opath, :second, :romount, :high behind it, or
# one of %closed, %minus-one, %null, %pipe-read, %pipe-write, %socket, %tmpfs, %proc.
import ctypes
import errno
import os
import socket
import stat
import struct
import sys
import tempfile

FICLONERANGE, FIDEDUPERANGE = 0x4020940D, 0xC0189436
PAGE, USER = 4096, 1234
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
keep = []


def special(word):
    if word == "%closed":
        fd = os.dup(0)
        os.close(fd)
        return fd + 500
    if word == "%minus-one":
        return -1
    if word == "%null":
        return os.open("/dev/null", os.O_RDWR)
    if word == "%proc":
        return os.open("/proc/self/status", os.O_RDONLY)
    if word in ("%pipe-read", "%pipe-write"):
        keep.append(os.pipe())
        return keep[-1][word == "%pipe-write"]
    if word == "%socket":
        keep.append(socket.socketpair())
        return keep[-1][0].fileno()
    keep.append(tempfile.TemporaryFile(dir="/dev/shm"))
    keep[-1].truncate(65536)
    return keep[-1].fileno()


def descriptor(word):
    if word.startswith("%"):
        return special(word)
    path, _, words = word.partition(":")
    words = words.split(",")
    for mount in ("second", "romount"):
        if mount in words:
            print("note: %s is opened through the one mount there is" % word)
    flags = os.O_RDWR
    if stat.S_ISDIR(os.stat("./" + path).st_mode) or "ro" in words or "romount" in words:
        flags = os.O_RDONLY
    if "wo" in words:
        flags = os.O_WRONLY
    if "append" in words:
        flags |= os.O_APPEND
    if "opath" in words:
        flags = os.O_PATH
    fd = os.open("./" + path, flags | os.O_NONBLOCK)
    return fd | 1 << 32 if "high" in words else fd


def number(word):
    return int(word, 0)


def ioctl(fd, request, pointer):
    fd = ctypes.c_int(fd & 0xFFFFFFFF)
    code = libc.ioctl(fd, ctypes.c_ulong(request), ctypes.c_void_p(pointer))
    return 0 if code == 0 else ctypes.get_errno()


def name(code):
    return errno.errorcode.get(code, str(code))


def clone(source, offset, length, target, target_offset):
    request = struct.pack(
        "<qQQQ", descriptor(source), number(offset), number(length), number(target_offset)
    )
    buffer = ctypes.create_string_buffer(request, len(request))
    code = ioctl(descriptor(target), FICLONERANGE, ctypes.addressof(buffer))
    print("  clone: " + ("ok" if code == 0 else name(code)))


def dedupe(source, offset, length, count, reserved1, reserved2, caller, memory, *words):
    header = struct.pack(
        "<QQHHI", number(offset), number(length), *map(number, (count, reserved1, reserved2))
    )
    elements = b""
    for i in range(0, len(words), 3):
        fd, at, reserved = words[i:i + 3]
        elements += struct.pack(
            "<qQQiI", descriptor(fd), number(at), 0xDEAD, 77, number(reserved)
        )
    request = header + elements
    kind, _, value = memory.partition(":")
    cut = len(request)
    if kind in ("unmapped-after", "readonly-after"):
        cut = 24 + 32 * number(value)
    if kind == "half-header":
        cut = 12
    pages = (cut + PAGE - 1) // PAGE * PAGE
    size = pages + (len(request) // PAGE + 2) * PAGE
    base = libc.mmap(None, size, 3, 0x22, -1, 0)
    pointer = base + pages - cut
    ctypes.memmove(pointer, request, len(request))
    if kind in ("unmapped-after", "half-header"):
        libc.mprotect(base + pages, size - pages, 0)
    if kind == "readonly-after":
        libc.mprotect(base + pages, size - pages, 1)
    source = descriptor(source)
    if caller == "user":
        os.setgroups([])
        os.setresgid(USER, USER, 0)
        os.setresuid(USER, USER, 0)
    code = ioctl(source, FIDEDUPERANGE, number(value) if kind == "pointer" else pointer)
    print("  dedupe: " + ("returned 0" if code == 0 else name(code)))
    seen = ctypes.string_at(pointer, cut if kind != "readonly-after" else len(request))
    for i in range(24, len(seen) - 31, 32):
        _, _, done, status, _ = struct.unpack("<qQQiI", seen[i:i + 32])
        text = {0: "same", 1: "differs", 77: "untouched"}.get(status, name(-status))
        print("  element %d: %s, bytes_deduped %d" % ((i - 24) // 32, text, done))


{"clone": clone, "dedupe": dedupe}[sys.argv[1]](*sys.argv[2:])
