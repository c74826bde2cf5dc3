-- Splices preset and keep-alive into a body as bytes. llama-server keeps the last of duplicate keys, so what stands
-- in front is a default and what stands behind is forced. The texts come with the route, as `given`.

local SPLICED = {
  messages = true, system = true, instructions = true,
  n_predict = true, max_tokens = true, max_completion_tokens = true, max_output_tokens = true,
}
local LIMITS = { "n_predict", "max_tokens", "max_completion_tokens", "max_output_tokens" }
local ROLE = { role = true }

-- Whether a message of the array at `place` has the role system or developer; nil if the array is malformed.
local function has_system(text, place)
  local from = skip_space(text, place.first + 1)
  if from and byte(text, from) == CLOSE_BRACKET then
    return false
  end
  while from do
    local after
    if byte(text, from) == OPEN_BRACE then
      local message
      message, after = scan_object(text, from, ROLE)
      local role = message and string_member(text, message, "role")
      if role == "system" or role == "developer" then
        return true
      end
    else
      after = value_end(text, from)
    end
    local mark = after and skip_space(text, after)
    if not mark then
      return nil
    elseif byte(text, mark) == CLOSE_BRACKET then
      return false
    elseif byte(text, mark) ~= COMMA then
      return nil
    end
    from = skip_space(text, mark + 1)
  end
  return nil
end

-- Where the system message goes, and its text with the comma it needs; nil if the body holds one or has no messages.
local function system_message(text, found, prompt)
  local place = found.members.messages
  if not place or byte(text, place.first) ~= OPEN_BRACKET or has_system(text, place) ~= false then
    return nil
  end
  local message = '{"role":"system","content":' .. prompt .. "}"
  local empty = byte(text, skip_space(text, place.first + 1)) == CLOSE_BRACKET
  return place.first, empty and message or message .. ","
end

local function names_limit(found)
  for _, name in ipairs(LIMITS) do
    if found.members[name] then
      return true
    end
  end
  return false
end

-- The body with everything spliced in; nil if it is no JSON object.
local function spliced(text, entry, context, forced_stream)
  local found = scan_document(text, SPLICED)
  if not found then
    return nil
  end
  local front, behind = {}, {}
  if entry.sampling then
    front[#front + 1] = context.keep_alive
    front[#front + 1] = context.defaults
    if not names_limit(found) then
      front[#front + 1] = context.limit
    end
    behind[#behind + 1] = context.forced
    if forced_stream then
      behind[#behind + 1] = '"stream":' .. forced_stream
    end
  end
  local at, message
  if context.system and entry.system == "messages" then
    at, message = system_message(text, found, context.system)
  elseif context.system and entry.system and not found.members[entry.system] then
    front[#front + 1] = '"' .. entry.system .. '":' .. context.system
  end
  if #front == 0 and #behind == 0 and not at then
    return text
  end
  local pieces = { table.concat(front, ","), table.concat(behind, ",") }
  local inner_first, inner_last = found.open + 1, found.close - 1
  local out = { sub(text, 1, found.open), pieces[1] }
  if pieces[1] ~= "" and not (found.empty and pieces[2] == "") then
    out[#out + 1] = ","
  end
  if at then
    out[#out + 1] = sub(text, inner_first, at)
    out[#out + 1] = message
    inner_first = at + 1
  end
  out[#out + 1] = sub(text, inner_first, inner_last)
  if pieces[2] ~= "" and not found.empty then
    out[#out + 1] = ","
  end
  out[#out + 1] = pieces[2]
  out[#out + 1] = sub(text, found.close)
  return table.concat(out)
end

-- Splice into the body of a request for `entry` what `given` holds; `stream` is what its header STREAM says, or nil.
-- It does not return where it refuses the request.
local function splice_body(handle, entry, given, stream)
  if entry.body ~= "json" or not (entry.sampling or entry.system) then
    return
  end
  stream = stream or ""
  local context = {
    keep_alive = string.sub(stream, -4) == "true" and given:get("keep_alive") or nil,
    defaults = given:get("defaults"),
    limit = given:get("limit"),
    forced = given:get("forced"),
    system = given:get("system"),
  }
  local forced_stream = string.match(stream, "^to be (.*)$")
  if not forced_stream and next(context) == nil then
    return
  end
  local body = handle:body()
  local text = body:getBytes(0, body:length())
  -- A mistake in here must not let a request pass without what its preset forces.
  local finished, result = pcall(spliced, text, entry, context, forced_stream)
  if not finished or not result then
    handle:logErr("the preset could not be spliced: " .. tostring(result))
    refuse(handle, 500, "server_error", "splice_failed", "the preset could not be applied to this body")
  elseif result ~= text then
    handle:headers():replace("content-length", body:setBytes(result))
  end
end
