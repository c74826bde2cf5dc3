-- Chooses the virtual host of a request, that is its endpoint and preset, from path, Host header and body, and splices
-- the preset. What exists is looked up in CATALOGUE, a table that is put in front of this module.

local GENERATE = { ["/llm/generate"] = "false", ["/llm/generate/stream"] = "true" }
local OWN_PAGES = { ["/health"] = true, ["/v1/models"] = true, ["/llm/models"] = true }
local STATUS = "/status"
local SLOTS = "x-puna-slots" -- how many slots of a server the request takes
local PREFIX = "x-puna-prefix" -- "<hash>:<bytes>,...": the beginnings of its prompt, the longest last
local AFFINITY = "x-puna-affinity" -- hash of the beginning that all turns of its conversation share
local WANTED = {
  model = true, stream = true, messages = true, prompt = true, input = true, input_prefix = true,
  tools = true, system = true, instructions = true, input_extra = true,
}

local function not_allowed(handle, method, path)
  refuse(
    handle, 405, "invalid_request_error", "method_not_allowed",
    string.format("%s takes %s", printable(path), method), { allow = method == "GET" and "GET, HEAD" or method }
  )
end

local function no_path(handle, path)
  refuse(
    handle, 404, "not_found_error", "path_not_found",
    printable(path) .. " is not served here; see /v1/models, /llm/models, /endpoints/<name>/..."
  )
end

-- The endpoint that the Host header names as a Service of this namespace would, or nil.
local function host_endpoint(authority)
  local host = string.lower(string.gsub(authority, ":%d+$", ""))
  local name, domain = string.match(host, "^([^.]+)%.?(.*)$")
  if not name or not CATALOGUE["card/" .. name] then
    return nil
  end
  local namespace = CATALOGUE["namespace"]
  if domain == "" then
    return name
  elseif namespace and (domain == namespace or domain == namespace .. ".svc") then
    return name
  elseif namespace and string.sub(domain, 1, #namespace + 5) == namespace .. ".svc." then
    return name
  end
  return nil
end

local function no_model(handle, model)
  refuse(
    handle, 404, "not_found_error", "model_not_found",
    string.format("there is no model %s; there is %s", printable(model), CATALOGUE["names"])
  )
end

-- The body as a text, and its members as scanned; nil after a refusal.
local function scanned_body(handle, headers)
  local encoding = headers:get("content-encoding")
  if encoding and encoding ~= "identity" then
    refuse(
      handle, 415, "invalid_request_error", "unsupported_encoding",
      "send the body without Content-Encoding: the model is read from it"
    )
    return nil
  end
  local body = handle:body()
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  local found = scan_document(text, WANTED)
  if not found then
    refuse(handle, 400, "invalid_request_error", "invalid_json", "the body has to be one JSON object")
    return nil
  end
  return text, found
end

-- Tell who chooses a server what it needs to know of a request that takes a slot.
local function describe(handle, headers, entry, endpoint, text, found)
  headers:replace(SLOTS, "1")
  if not entry.prompt or not CATALOGUE["affine/" .. endpoint] then
    return
  end
  -- Without it the choice is a worse one, and that is all.
  local finished, prefixes, affinity = pcall(describe_prefixes, text, found, entry.prompt)
  if not finished then
    handle:logErr("the prompt could not be hashed: " .. tostring(prefixes))
  elseif prefixes then
    headers:replace(PREFIX, prefixes)
    headers:replace(AFFINITY, affinity)
  end
end

-- Whether the answer may be a stream. llama-server closes the connection after one although it has promised to keep
-- it, unless it was asked to close it; then it says so, and Envoy does not send another request into its end.
local function ends_its_connection(entry, path, stream)
  if entry.body ~= "json" then
    return entry.body == "raw"
  end
  return (GENERATE[path] or stream or "false") ~= "false"
end

-- Endpoint and preset for a request, or nil after a refusal.
local function resolve(handle, pinned, model, preset)
  local endpoint = pinned
  if pinned then
    if model and string.sub(model, 1, #pinned + 1) == pinned .. ":" and CATALOGUE["card/" .. model] then
      preset = string.sub(model, #pinned + 2)
    end
  elseif model then
    endpoint = string.match(model, "^[^:]*")
    if not CATALOGUE["card/" .. endpoint] then
      no_model(handle, model)
      return nil
    elseif not admit(handle, endpoint, true) then
      return nil
    elseif not CATALOGUE["card/" .. model] then
      no_model(handle, model)
      return nil
    end
    preset = endpoint ~= model and string.sub(model, #endpoint + 2) or preset
  else
    endpoint = CATALOGUE["only"]
    if not endpoint then
      refuse(
        handle, 400, "invalid_request_error", "model_required",
        "name a model in the body; there is " .. CATALOGUE["names"]
      )
      return nil
    elseif not admit(handle, endpoint, true) then
      return nil
    end
  end
  if preset and not CATALOGUE["card/" .. endpoint .. ":" .. preset] then
    refuse(
      handle, 404, "not_found_error", "preset_not_found",
      string.format("%s has no preset %s; it has %s", endpoint, printable(preset), CATALOGUE["presets/" .. endpoint])
    )
    return nil
  end
  return endpoint, preset
end

local function no_endpoint(handle, name)
  refuse(
    handle, 404, "not_found_error", "endpoint_not_found",
    string.format("there is no endpoint %s; there is %s", printable(name), CATALOGUE["names"])
  )
end

local function show_card(handle, path, model, reads)
  local text = CATALOGUE["card/" .. model]
  if not reads then
    not_allowed(handle, "GET", path)
  elseif string.find(model, ":", 1, true) and not admit(handle, string.match(model, "^[^:]*")) then
    return
  elseif text then
    handle:respond({ [":status"] = "200", ["content-type"] = "application/json" }, text)
  else
    no_model(handle, model)
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  local path, query = string.match(headers:get(":path"), "^([^?]*)(.*)$")
  local reads = method == "GET" or method == "HEAD"

  if OWN_PAGES[path] then
    if not reads then
      not_allowed(handle, "GET", path)
    else
      list_for_key(handle, path)
    end
    return
  end

  local pinned, rest
  if SURFACE[path] or GENERATE[path] then
    rest = GENERATE[path] and "/completion" or path
    if rest == path and string.sub(path, 1, 4) ~= "/v1/" then
      return no_path(handle, path)
    end
    pinned = host_endpoint(headers:get(":authority") or "")
  else
    local card = string.match(path, "^/v1/models/(.+)$")
    if card then
      return show_card(handle, path, card, reads)
    end
    pinned, rest = string.match(path, "^/endpoints/([^/]+)(/.*)$")
    if not pinned then
      return no_path(handle, path)
    elseif not CATALOGUE["card/" .. pinned] or string.find(pinned, ":", 1, true) then
      return no_endpoint(handle, pinned)
    end
  end

  local entry = SURFACE[rest]
  if not entry or (entry.method == "GET" and rest == path) then
    return no_path(handle, path)
  elseif entry.method ~= method and not (entry.method == "GET" and reads) then
    return not_allowed(handle, entry.method, path)
  end

  -- Before the body, where that is possible: who may not use the endpoint has no body read.
  if pinned and not admit(handle, pinned, entry.method == "POST") then
    return
  end
  local text, found, model, stream
  if entry.body == "json" then
    text, found = scanned_body(handle, headers)
    if not text then
      return
    end
    model = string_member(text, found, "model")
    local place = found.members.stream
    stream = place and sub(text, place.first, place.after - 1)
  end
  -- What a handle gave is no longer valid after the wait for the body.
  headers = handle:headers()
  local asked = rest ~= STATUS and headers:get("x-puna-preset") or nil
  local endpoint, preset = resolve(handle, pinned, model, asked)
  if not endpoint then
    return
  end
  local streams = GENERATE[path] and "to be " .. GENERATE[path] or stream == "true" and stream or nil
  if streams then
    headers:replace(STREAM, streams)
  end
  if entry.slot then
    describe(handle, headers, entry, endpoint, text, found)
  end
  if ends_its_connection(entry, path, stream) then
    headers:replace("connection", "close")
  end
  headers:replace(":path", rest .. query)
  headers:replace(TARGET, preset and endpoint .. ":" .. preset or endpoint)
  handle:clearRouteCache()
  -- Of the route that this leads to; empty where the preset depends on the revision, which is chosen later.
  local given = handle:metadata()
  if given:get("keep_alive") then
    splice_body(handle, entry, given, streams)
  end
end
