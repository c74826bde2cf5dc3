-- Keeps from the filters that count tokens what ends Envoy 1.40 with a segmentation fault: an event of a stream whose
-- data are JSON without an object or array around it, such as `data: 0`. llama-server sends none, but a server outside
-- the cluster may. Such an event becomes an error, and what it held a comment.
--
-- Lines are read as Envoy's parser reads them (sse_parser.cc), also in that it begins anew within an event that is too
-- large for it. A line that is not all there yet is taken for such data if it may become some.

local FIELD = "data:"
-- What comes before data and does not belong to them: JSON's white space, and the bytes of a byte order mark.
local BLANK = "[ \t\239\187\191]"
local DATA = "[^ \t\239\187\191]"
local WORDS = { t = "true", f = "false", n = "null" }
local INSTEAD = '{"error":{"code":502,"message":"the server sent an event that is no JSON object",'
  .. '"reason":"invalid_event","type":"server_error"},"type":"error"}\n\n: '
local COMMENT = 2 -- bytes of it after the end of its event
-- Where in a stream: at the beginning of a line, before the value of a field, or where nothing matters up to the end of
-- the line.
local LINE, VALUE, REST = 1, 2, 3

-- A stream at its beginning. `matched` bytes of FIELD have been seen in the line, `known` tells that the event's data
-- have begun as they should, `returned` that a carriage return came last, and `held` counts the event's bytes so far.
function new_guard()
  return { place = LINE, matched = 0, known = false, returned = false, held = 0 }
end

-- Whether a line of data, `whole` or not yet, is JSON without an object around it, or may become that.
local function is_bare(line, whole)
  local first = string.sub(line, 1, 1)
  if first == '"' then
    if whole then
      return string.find(line, '"[ \t]*$', 2) ~= nil
    end
    return not string.find(line, '^"[^"\\]*"[ \t]*[^ \t]')
  elseif WORDS[first] then
    local word = string.match(line, "^(%a+)[ \t]*$")
    return word ~= nil and (whole and word == WORDS[first] or not whole and string.find(WORDS[first], word, 1, true) == 1)
  end
  return string.find(line, whole and "^%-?%d[%d.eE+-]*[ \t]*$" or "^[%d-][%d.eE+-]*[ \t]*$") ~= nil
end

-- Pass the end of a line; whether it is an empty one, which ends the event.
local function end_line(guard, char)
  local ended = false
  if not (char == "\n" and guard.returned) then
    ended = guard.place == LINE and guard.matched == 0
    guard.known = guard.known and not ended
    guard.place, guard.matched = LINE, 0
  end
  guard.returned = char == "\r"
  return ended
end

-- One more byte of the beginning of a line; whether it has been passed.
local function begin_line(guard, char)
  if char == string.sub(FIELD, guard.matched + 1, guard.matched + 1) then
    guard.matched = guard.matched + 1
    if guard.matched == #FIELD then
      guard.place = guard.known and REST or VALUE
    end
    return true
  elseif guard.matched == 0 and string.find(char, BLANK) and char ~= " " and char ~= "\t" then
    return true -- a byte order mark
  end
  guard.place = REST
  return false
end

-- The next part of the stream as it may go on: the same bytes, but for events as above. `limit` is the size in bytes of
-- an unfinished event above which Envoy forgets it with the end of a part.
function guard_events(guard, text, limit)
  local parts, kept, at, counted = {}, 1, 1, 1
  while at <= #text do
    local from = at
    if guard.place == REST then
      at = string.find(text, "[\r\n]", at) or #text + 1
    elseif guard.place == VALUE then
      at = string.find(text, DATA, at) or #text + 1
    end
    guard.returned = guard.returned and at == from
    local char = string.sub(text, at, at)
    if char == "\r" or char == "\n" then
      local follows = char == "\n" and guard.returned and guard.held == 0 and counted == at
      if end_line(guard, char) or follows then
        guard.held, counted = 0, at + 1
      end
      at = at + 1
    elseif char ~= "" and guard.place == LINE then
      guard.returned = false
      at = begin_line(guard, char) and at + 1 or at
    elseif char ~= "" then
      local line = string.match(text, "^[^\r\n]*", at)
      guard.place, guard.known = REST, not is_bare(line, at + #line <= #text)
      if not guard.known then
        parts[#parts + 1] = string.sub(text, kept, at - 1)
        parts[#parts + 1] = INSTEAD
        guard.held, counted, kept = COMMENT, at, at
      end
    end
  end
  guard.held = guard.held + #text + 1 - counted
  if guard.held > limit then
    guard.place, guard.matched, guard.known, guard.returned, guard.held = LINE, 0, false, false, 0
  end
  if #parts == 0 then
    return text
  end
  parts[#parts + 1] = string.sub(text, kept)
  return table.concat(parts)
end
