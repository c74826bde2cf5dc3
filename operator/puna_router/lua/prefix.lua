-- Names the beginnings of a prompt by hashes, for who chooses a server: one that has read a beginning has it cached.
-- A beginning ends where a message ends and, inside long texts, at offsets that grow by half and by a third in turn
-- (1024, 1536, 2048, 3072 ... bytes), so that a prompt of 400 KB has some twenty of them. The hash of each covers
-- everything before it: what a later turn adds leaves the earlier ones as they are. Bytes are hashed as the client
-- wrote them, but members of a message count in any order, and not at all where they only mark what to cache.

local bit, ffi = require("bit"), require("ffi")
local bxor, rol, tobit, tohex = bit.bxor, bit.rol, bit.tobit, bit.tohex
local WORDS, BYTES = ffi.typeof("const int32_t *"), ffi.typeof("const uint8_t *")
local tail = ffi.new("int32_t[3]")

local LEADING = { "tools", "system", "instructions", "input_extra" } -- what stands in front of the messages
local LEADING_ROLES = { ['"system"'] = true, ['"developer"'] = true }
local MARKERS = { cache_control = true } -- moves to the newest message with every turn
local MESSAGES, PARTS = 4, 2 -- levels below which a value is hashed as it stands: a list of messages, a list of parts
local MESSAGE = MESSAGES - 1
local BLOCK = 1024 -- first end inside a message, in bytes
local SHORT_BLOCK = 256 -- first end inside a prompt that is one text, in bytes
local LONGEST = 1048576 -- what lies behind, in bytes, is more than any context holds
local FIRST_KEPT, LAST_KEPT = 8, 24 -- of more ends than these together, those in the middle are left out

-- The hash is Bob Jenkins' lookup3: additions, exclusive ors and rotations, which is what LuaJIT has for 32 bits.
local function mixed(a, b, c)
  a = bxor(a - c, rol(c, 4))
  c = tobit(c + b)
  b = bxor(b - a, rol(a, 6))
  a = tobit(a + c)
  c = bxor(c - b, rol(b, 8))
  b = tobit(b + a)
  a = bxor(a - c, rol(c, 16))
  c = tobit(c + b)
  b = bxor(b - a, rol(a, 19))
  a = tobit(a + c)
  c = bxor(c - b, rol(b, 4))
  b = tobit(b + a)
  return a, b, c
end

local function finished(a, b, c)
  c = tobit(bxor(c, b) - rol(b, 14))
  a = tobit(bxor(a, c) - rol(c, 11))
  b = tobit(bxor(b, a) - rol(a, 25))
  c = tobit(bxor(c, b) - rol(b, 16))
  a = tobit(bxor(a, c) - rol(c, 4))
  b = tobit(bxor(b, a) - rol(a, 14))
  c = tobit(bxor(c, b) - rol(b, 24))
  return c, b
end

-- The hash `high, low` continued by the bytes from `first` to before `after`.
local function absorb(high, low, text, first, after)
  local length = after - first
  local a = tobit(0x9e3779b9 + length)
  local b, c = tobit(a + high), tobit(a + low)
  local words = ffi.cast(WORDS, ffi.cast(BYTES, text) + (first - 1))
  local whole = length - length % 12
  for at = 0, whole / 4 - 1, 3 do
    a, b, c = mixed(tobit(a + words[at]), tobit(b + words[at + 1]), tobit(c + words[at + 2]))
  end
  if whole < length then
    ffi.fill(tail, 12)
    ffi.copy(tail, words + whole / 4, length - whole)
    a, b, c = tobit(a + tail[0]), tobit(b + tail[1]), tobit(c + tail[2])
  end
  return finished(a, b, c)
end

-- The hash continued by another hash.
local function combine(high, low, other_high, other_low)
  return finished(mixed(other_high, bxor(high, other_low), low))
end

local function add_end(chain, high, low, size)
  chain.count = chain.count + 1
  chain.digests[chain.count] = tohex(high) .. tohex(low)
  chain.sizes[chain.count] = size
end

-- Continue the hash by a text, with the ends inside it. `base` is what lies before it in the prompt.
local function absorb_text(chain, high, low, text, first, after, base, block)
  local from, octave, offset = first, block, block
  local last = math.min(after, first + LONGEST)
  while first + offset < last do
    high, low = absorb(high, low, text, from, first + offset)
    add_end(chain, high, low, base + offset)
    from = first + offset
    offset = offset + octave / 2
    if offset == 2 * octave then
      octave = offset
    end
  end
  return absorb(high, low, text, from, last)
end

local absorb_value

-- Members are added up, so that their order does not matter.
local function absorb_object(chain, high, low, text, first, base, depth)
  local sum_high, sum_low, size = 0, 0, 0
  local from = skip_space(text, first + 1)
  while from and byte(text, from) == QUOTE do
    local after_key, value = key_at(text, from)
    if not after_key then
      return nil
    end
    local key, after = sub(text, from + 1, after_key - 2), nil
    if MARKERS[key] then
      after = value_end(text, value)
    else
      local key_high, key_low = absorb(high, low, text, from, after_key)
      local more_high, more_low, more
      more_high, more_low, more, after = absorb_value(chain, key_high, key_low, text, value, base, depth - 1)
      if not more_high then
        return nil
      end
      sum_high, sum_low = tobit(sum_high + more_high), tobit(sum_low + more_low)
      size = size + more + after_key - from
      if depth == MESSAGE and key == "role" then
        chain.role = sub(text, value, after - 1)
      end
    end
    from = after and skip_space(text, after)
    if not from or byte(text, from) ~= COMMA then
      break
    end
    from = skip_space(text, from + 1)
  end
  if not from or byte(text, from) ~= CLOSE_BRACE then
    return nil
  end
  high, low = combine(high, low, sum_high, sum_low)
  return high, low, size, from + 1
end

local function absorb_array(chain, high, low, text, first, base, depth)
  local size = 0
  local from = skip_space(text, first + 1)
  while from and byte(text, from) ~= CLOSE_BRACKET and base + size < LONGEST do
    local more, after
    high, low, more, after = absorb_value(chain, high, low, text, from, base + size, depth - 1)
    from = after and skip_space(text, after)
    if not from then
      return nil
    end
    size = size + more
    if depth == MESSAGES then
      add_end(chain, high, low, base + size)
      if not chain.affinity and not LEADING_ROLES[chain.role] then
        chain.affinity = chain.digests[chain.count]
      end
      chain.role = nil
    end
    if byte(text, from) ~= COMMA then
      break
    end
    from = skip_space(text, from + 1)
  end
  local after = from and byte(text, from) == CLOSE_BRACKET and from + 1 or value_end(text, first)
  if not after then
    return nil
  end
  return high, low, size, after
end

-- Continue the hash by the value at `first`. Returns it, how many bytes of prompt the value is, and the index after it;
-- nil if it is malformed.
function absorb_value(chain, high, low, text, first, base, depth)
  local kind = byte(text, first)
  if kind == OPEN_BRACE and depth > 0 then
    return absorb_object(chain, high, low, text, first, base, depth)
  elseif kind == OPEN_BRACKET and depth > 0 then
    return absorb_array(chain, high, low, text, first, base, depth)
  end
  local after = value_end(text, first)
  if not after then
    return nil
  elseif kind == QUOTE then
    high, low = absorb_text(chain, high, low, text, first, after, base, BLOCK)
  else
    high, low = absorb(high, low, text, first, math.min(after, first + LONGEST))
  end
  return high, low, after - first, after
end

-- The chain of a scanned body whose prompt is in member `main`; nil if there is none, or something in it is malformed.
local function prefix_chain(text, found, main)
  local chain = { count = 0, digests = {}, sizes = {} }
  local high, low, size = 0, 0, 0
  for _, name in ipairs(LEADING) do
    local place = found.members[name]
    if place then
      local more
      high, low, more = absorb_value(chain, high, low, text, place.first, size, PARTS)
      if not high then
        return nil
      end
      size = size + more
      add_end(chain, high, low, size)
    end
  end
  local place = found.members[main]
  if not place then
    return nil
  end
  local leading = chain.count
  if byte(text, place.first) == OPEN_BRACKET and main ~= "prompt" then
    high = absorb_array(chain, high, low, text, place.first, size, MESSAGES)
    if not high then
      return nil
    end
  else
    high, low = absorb_text(chain, high, low, text, place.first, place.after, size, SHORT_BLOCK)
    add_end(chain, high, low, size + place.after - place.first)
    chain.affinity = chain.digests[leading + 1]
  end
  return chain.count > 0 and chain or nil
end

-- What a chooser is told: the chain, and the one hash that all turns of a conversation share.
local function describe_prefixes(text, found, main)
  local chain = prefix_chain(text, found, main)
  if not chain then
    return nil
  end
  local parts, count = {}, chain.count
  for index = 1, count do
    if index <= FIRST_KEPT or index > count - LAST_KEPT then
      parts[#parts + 1] = chain.digests[index] .. ":" .. chain.sizes[index]
    end
  end
  return table.concat(parts, ","), chain.affinity or chain.digests[count]
end
