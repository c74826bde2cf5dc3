-- Who may use an endpoint. Keys are known by their SHA-256 alone: the digest of what a request presents is looked up
-- in a table of digests, so the time that takes tells nothing about any key. In CATALOGUE:
--   "keyed/<endpoint>"         it requires a key
--   "closed/<endpoint>"        why its keys cannot be read, if they cannot
--   "key/<endpoint>/<digest>"  "<name> <end> <pace> <rate>" of a key that opens it, "" of one that opens others alone
-- where end is in seconds since the epoch (0: none), pace the seconds after which it may go on once it is over its
-- rate of requests per minute.

local CLIENT = "x-puna-client" -- name of the key that a request came with; nobody else can set it
local LONGEST_PRESENTED = 256
local CHALLENGE = "Bearer"

-- Digest of the key that a request presents; nil if it presents none.
local function presented(headers)
  local key = string.match(headers:get("authorization") or "", "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$")
    or headers:get("x-api-key")
  if not key or key == "" then
    return nil
  end
  -- What is longer is nobody's key, and not worth the hashing.
  return #key <= LONGEST_PRESENTED and sha256(key) or "-"
end

local function unauthorized(handle, message)
  refuse(handle, 401, "authentication_error", "invalid_api_key", message, { ["www-authenticate"] = CHALLENGE })
  return false
end

-- Whether a request may use an endpoint; false after a refusal. One that is counted spends of its key's rate.
local function admit(handle, endpoint, counted)
  if not CATALOGUE["keyed/" .. endpoint] then
    return true
  end
  local headers, problem = handle:headers(), CATALOGUE["closed/" .. endpoint]
  if problem then
    refuse(handle, 503, "unavailable_error", "keys_unavailable", problem, { ["retry-after"] = "5" })
    return false
  end
  local digest = presented(headers)
  if not digest then
    return unauthorized(handle, endpoint .. " needs an API key: send it as Authorization: Bearer <key>")
  end
  local entry = CATALOGUE["key/" .. endpoint .. "/" .. digest]
  if not entry then
    return unauthorized(handle, "this is no API key of " .. endpoint)
  elseif entry == "" then
    refuse(handle, 403, "permission_error", "key_not_allowed", "this API key does not open " .. endpoint)
    return false
  end
  local name, ends, pace, rate = string.match(entry, "^(%S+) (%d+) (%d+) (%d+)$")
  if ends ~= "0" and os.time() >= tonumber(ends) then
    -- Only who holds the key learns this.
    return unauthorized(handle, "this API key has expired")
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(METADATA, "key", name)
  if counted then
    metadata:set(METADATA, "limit", { bucket = endpoint .. "/" .. name, pace = pace, rate = rate })
  end
  headers:replace(CLIENT, name)
  return true
end

-- Whether the holder of a key may see an endpoint's presets.
local function may_see(endpoint, digest)
  if not CATALOGUE["keyed/" .. endpoint] then
    return true
  end
  local entry = CATALOGUE["key/" .. endpoint .. "/" .. digest]
  local ends = entry and string.match(entry, "^%S+ (%d+)")
  return ends == "0" or (ends and os.time() < tonumber(ends)) or false
end

-- Answer a list of models to who presents a key: with the presets of the endpoints that it opens. Everybody else gets
-- the page as it is, which holds no presets of keyed endpoints.
local function list_for_key(handle, path)
  local names = CATALOGUE["endpoints"]
  local digest = names and presented(handle:headers())
  if not digest then
    return
  end
  local parts = {}
  for name in string.gmatch(names, "%S+") do
    local shown = may_see(name, digest) and "full" or "bare"
    parts[#parts + 1] = CATALOGUE[shown .. path .. "/" .. name]
  end
  handle:respond(
    { [":status"] = "200", ["content-type"] = "application/json" },
    CATALOGUE["head" .. path] .. table.concat(parts, ",") .. "]}"
  )
end
