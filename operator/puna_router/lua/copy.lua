-- Sends copies of requests to the listener for them, which belongs to this Envoy too. Nobody waits for their answers.

local SHADOW = "shadow" -- cluster of that listener, and what its virtual hosts' names begin with
local SLOTS = "x-puna-slots"
local IF_FREE = "if-free" -- never wait for a slot, and give it up to others
-- What is the original's alone: its key, its server, and what belongs to its connection and its body's bytes.
local NOT_COPIED = {
  ["authorization"] = true, ["x-api-key"] = true, ["x-puna-client"] = true, ["x-puna-session"] = true,
  ["x-puna-cluster"] = true, ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true,
  ["expect"] = true, ["x-forwarded-for"] = true,
}

local function copied_headers(headers)
  local copy = {}
  for name, value in pairs(headers) do
    if not NOT_COPIED[name] then
      copy[name] = value
    end
  end
  copy[TARGET] = SHADOW .. "/" .. copy[TARGET]
  copy[SLOTS] = IF_FREE
  return copy
end

local function copy_request(handle)
  local body = handle:body()
  local headers, text = copied_headers(handle:headers()), body:getBytes(0, body:length())
  handle:httpCall(SHADOW, headers, text, { asynchronous = true })
end

-- Copy a request if it is drawn: `percent` of them are. Whatever goes wrong with a copy, the original goes on.
local function maybe_copy(handle, percent)
  if math.random() * 100 < percent then
    local finished, problem = pcall(copy_request, handle)
    if not finished then
      handle:logWarn("a request could not be copied: " .. tostring(problem))
    end
  end
end
