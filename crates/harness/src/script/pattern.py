# Prints LEN bytes of the stream SEED from position AT on: splitmix64, little-endian.
import sys

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(state):
    z = (state + GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


seed, at, length = (int(word) for word in sys.argv[1:4])
start = mix(seed)
first, last = at // 8, (at + length + 7) // 8
words = (mix((start + i * GOLDEN) & MASK).to_bytes(8, "little") for i in range(first, last))
skip = at % 8
sys.stdout.buffer.write(b"".join(words)[skip:skip + length])
