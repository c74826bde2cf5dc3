-- A scanner for JSON objects that only looks: it finds where values lie and never builds or rewrites them, so that
-- key order, big integers and duplicate keys stay as the client wrote them. Whether a value that is passed over is
-- well formed is llama-server's to judge; the object around it is checked here, so a splice cannot land elsewhere.

local byte, char, find, sub = string.byte, string.char, string.find, string.sub
local QUOTE, COLON, COMMA, BACKSLASH = 34, 58, 44, 92
local OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = 123, 125, 91, 93

-- Longest key, as written, that is compared with the wanted ones: any of them with every letter escaped fits.
local LONGEST_KEY = 256

-- Index of the first byte at or after `at` that is not white space, or nil at the end.
local function skip_space(text, at)
  return (find(text, "[^ \t\r\n]", at))
end

-- Index after the string that opens at `at`, or nil if it never closes. Plain find jumps over long strings quickly.
local function string_end(text, at)
  local from = at + 1
  while true do
    local quote = find(text, '"', from, true)
    if not quote then
      return nil
    end
    local before = quote - 1
    while byte(text, before) == BACKSLASH do
      before = before - 1
    end
    if (quote - 1 - before) % 2 == 0 then
      return quote + 1
    end
    from = quote + 1
  end
end

-- Index after the value that starts at `at`, or nil if it is cut off or no value.
local function value_end(text, at)
  local first = byte(text, at)
  if first == QUOTE then
    return string_end(text, at)
  end
  if first ~= OPEN_BRACE and first ~= OPEN_BRACKET then
    local _, last = find(text, "^[-+.%w]+", at)
    return last and last + 1
  end
  local depth, from = 0, at
  while true do
    local mark = find(text, '["{}%[%]]', from)
    if not mark then
      return nil
    end
    local kind = byte(text, mark)
    if kind == QUOTE then
      from = string_end(text, mark)
      if not from then
        return nil
      end
    else
      depth = depth + ((kind == OPEN_BRACE or kind == OPEN_BRACKET) and 1 or -1)
      from = mark + 1
      if depth == 0 then
        return from
      end
    end
  end
end

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(
    0xF0 + math.floor(code / 0x40000),
    0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40,
    0x80 + code % 0x40
  )
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- What a string means: its bytes with the escapes replaced. `raw` is without the quotes.
local function unescape(raw)
  if not find(raw, "\\", 1, true) then
    return raw
  end
  local parts, from = {}, 1
  while true do
    local slash = find(raw, "\\", from, true)
    parts[#parts + 1] = sub(raw, from, (slash or 0) - 1)
    if not slash then
      return table.concat(parts)
    end
    local kind = sub(raw, slash + 1, slash + 1)
    from = slash + 2
    local code = kind == "u" and tonumber(string.match(raw, "^%x%x%x%x", from), 16)
    if code then
      from = from + 4
      local low = string.match(raw, "^\\u(%x%x%x%x)", from)
      if code >= 0xD800 and code < 0xDC00 and low then
        local second = tonumber(low, 16)
        if second >= 0xDC00 and second < 0xE000 then
          code = 0x10000 + (code - 0xD800) * 0x400 + second - 0xDC00
          from = from + 6
        end
      end
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = ESCAPES[kind] or kind
    end
  end
end

-- The key that opens at `from`: the indexes after it and of its value; nil if it is malformed.
local function key_at(text, from)
  local after_key = string_end(text, from)
  local colon = after_key and skip_space(text, after_key)
  local first = colon and byte(text, colon) == COLON and skip_space(text, colon + 1)
  if not first then
    return nil
  end
  return after_key, first
end

-- Scan the object that opens at `at`. Returns a table with, for each key of the set `wanted`, the place of its last
-- value as {first, after}, with `empty` and `close` (the index of the closing brace), and the index after the object.
-- Returns nil if the object is malformed.
local function scan_object(text, at, wanted)
  local found = { members = {}, empty = true }
  local from = skip_space(text, at + 1)
  if from and byte(text, from) == CLOSE_BRACE then
    found.close = from
    return found, from + 1
  end
  found.empty = false
  while from and byte(text, from) == QUOTE do
    local after_key, first = key_at(text, from)
    local after = first and value_end(text, first)
    if not after then
      return nil
    end
    if after_key - from <= LONGEST_KEY then
      local key = unescape(sub(text, from + 1, after_key - 2))
      if wanted[key] then
        found.members[key] = { first = first, after = after }
      end
    end
    local mark = skip_space(text, after)
    local kind = mark and byte(text, mark)
    if kind == CLOSE_BRACE then
      found.close = mark
      return found, mark + 1
    elseif kind ~= COMMA then
      return nil
    end
    from = skip_space(text, mark + 1)
  end
  return nil
end

-- Scan a whole document, which has to be one object. `open` and `close` are the indexes of its braces.
local function scan_document(text, wanted)
  local start = 1
  if sub(text, 1, 3) == "\239\187\191" then
    start = 4
  end
  local open = skip_space(text, start)
  if not open or byte(text, open) ~= OPEN_BRACE then
    return nil
  end
  local found, after = scan_object(text, open, wanted)
  if not found or skip_space(text, after) then
    return nil
  end
  found.open = open
  return found
end

-- The string value of a member, or nil if it is absent or no string.
local function string_member(text, found, key)
  local place = found.members[key]
  if place and byte(text, place.first) == QUOTE then
    return unescape(sub(text, place.first + 1, place.after - 2))
  end
  return nil
end
