-- SHA-256 (FIPS 180-4) of a string, in hex. An API key with its prefix fits in one block of 64 bytes.

local band, bxor, bnot, bor = bit.band, bit.bxor, bit.bnot, bit.bor
local ror, lshift, rshift, tobit, tohex = bit.ror, bit.lshift, bit.rshift, bit.tobit, bit.tohex

local ROUND = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
for i = 1, 64 do
  ROUND[i] = tobit(ROUND[i])
end

local BLOCK = 64
local schedule = {} -- words of the block in hand: one request at a time per thread, none of them pauses in here

-- The state after one more block, which starts at `at`.
local function compress(text, at, a0, b0, c0, d0, e0, f0, g0, h0)
  for i = 1, 16 do
    local w1, w2, w3, w4 = byte(text, at, at + 3)
    schedule[i] = bor(lshift(w1, 24), lshift(w2, 16), lshift(w3, 8), w4)
    at = at + 4
  end
  for i = 17, 64 do
    local near, far = schedule[i - 2], schedule[i - 15]
    schedule[i] = tobit(
      bxor(ror(near, 17), ror(near, 19), rshift(near, 10)) + schedule[i - 7]
        + bxor(ror(far, 7), ror(far, 18), rshift(far, 3)) + schedule[i - 16]
    )
  end
  local a, b, c, d, e, f, g, h = a0, b0, c0, d0, e0, f0, g0, h0
  for i = 1, 64 do
    local first = bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g)) + h + ROUND[i]
      + schedule[i]
    local second = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + first), c, b, a, tobit(first + second)
  end
  return tobit(a0 + a), tobit(b0 + b), tobit(c0 + c), tobit(d0 + d), tobit(e0 + e), tobit(f0 + f), tobit(g0 + g),
    tobit(h0 + h)
end

local function sha256(text)
  local length = #text
  local zeros = (BLOCK - 9 - length) % BLOCK
  local high, low = math.floor(length / 0x20000000), tobit(length * 8)
  local padded = text .. "\128" .. string.rep("\0", zeros)
    .. char(
      rshift(high, 24), band(rshift(high, 16), 255), band(rshift(high, 8), 255), band(high, 255),
      rshift(low, 24), band(rshift(low, 16), 255), band(rshift(low, 8), 255), band(low, 255)
    )
  local a, b, c, d = 0x6a09e667, tobit(0xbb67ae85), 0x3c6ef372, tobit(0xa54ff53a)
  local e, f, g, h = 0x510e527f, tobit(0x9b05688c), 0x1f83d9ab, 0x5be0cd19
  for at = 1, #padded, BLOCK do
    a, b, c, d, e, f, g, h = compress(padded, at, a, b, c, d, e, f, g, h)
  end
  return tohex(a) .. tohex(b) .. tohex(c) .. tohex(d) .. tohex(e) .. tohex(f) .. tohex(g) .. tohex(h)
end
