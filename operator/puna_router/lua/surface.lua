-- llama-server's paths that the router passes on. What is not here does not exist for clients: no POST /props, no
-- saving and restoring of slots, no tools, no model management.
--   method    the one method (GET allows HEAD too)
--   body      "json": read, checked and spliced; "raw": passed on as it comes
--   sampling  the preset's members belong into it
--   system    where a system prompt goes: "messages" (a message in front), else the name of a top-level member
--   slot      it works in a slot of the server
--   prompt    the member that holds the prompt, where a server remembers what it has read

local GET = { method = "GET" }
local JSON = { method = "POST", body = "json" }
local EMBEDDING = { method = "POST", body = "json", slot = true }
local COMPLETION = { method = "POST", body = "json", sampling = true, slot = true, prompt = "prompt" }
local INFILL = { method = "POST", body = "json", sampling = true, slot = true, prompt = "input_prefix" }
local CHAT = {
  method = "POST", body = "json", sampling = true, system = "messages", slot = true, prompt = "messages",
}
local MESSAGES = {
  method = "POST", body = "json", sampling = true, system = "system", slot = true, prompt = "messages",
}
local MESSAGES_COUNT = { method = "POST", body = "json", sampling = true, system = "system" }
local RESPONSES = {
  method = "POST", body = "json", sampling = true, system = "instructions", slot = true, prompt = "input",
}
local INSTRUCTIONS = { method = "POST", body = "json", system = "instructions" }
local TEMPLATE = { method = "POST", body = "json", system = "messages" }

local SURFACE = {
  ["/status"] = GET, -- the router's own page of an endpoint
  ["/health"] = GET,
  ["/v1/health"] = GET,
  ["/metrics"] = GET,
  ["/models"] = GET,
  ["/v1/models"] = GET,
  ["/props"] = GET,
  ["/slots"] = GET,
  ["/lora-adapters"] = GET,

  ["/chat/completions"] = CHAT,
  ["/v1/chat/completions"] = CHAT,
  ["/v1/chat/completions/input_tokens"] = TEMPLATE,
  ["/apply-template"] = TEMPLATE,
  ["/v1/messages"] = MESSAGES,
  ["/v1/messages/count_tokens"] = MESSAGES_COUNT,
  ["/responses"] = RESPONSES,
  ["/v1/responses"] = RESPONSES,
  ["/v1/responses/input_tokens"] = INSTRUCTIONS,

  ["/completion"] = COMPLETION,
  ["/completions"] = COMPLETION,
  ["/v1/completions"] = COMPLETION,
  ["/infill"] = INFILL,

  ["/tokenize"] = JSON,
  ["/detokenize"] = JSON,
  ["/embedding"] = EMBEDDING,
  ["/embeddings"] = EMBEDDING,
  ["/v1/embeddings"] = EMBEDDING,
  ["/rerank"] = EMBEDDING,
  ["/reranking"] = EMBEDDING,
  ["/v1/rerank"] = EMBEDDING,
  ["/v1/reranking"] = EMBEDDING,
  ["/v1/audio/transcriptions"] = { method = "POST", body = "raw", slot = true },
}

local TARGET = "x-puna-target" -- names the virtual host: "<endpoint>" or "<endpoint>:<preset>"
local NO_TARGET = "-" -- what every request starts with: the router's own pages
local STREAM = "x-puna-stream" -- "true": it asks for a stream; "to be true", "to be false": its path decides
local METADATA = "puna" -- namespace of the dynamic metadata that filters and access loggers share

-- Text from a client as it may stand in a JSON string and in a log: printable ASCII, bounded.
local function printable(text)
  local plain = string.gsub(string.sub(text, 1, 120), "[^\32-\126]", "?")
  return (string.gsub(plain, '["\\]', "'"))
end

-- Answer an error. Envoy's own replies take the same shape from the listener's mappers.
local function refuse(handle, status, kind, reason, message, more)
  local headers = more or {}
  headers[":status"] = tostring(status)
  headers["content-type"] = "application/json"
  local id = printable(handle:headers():get("x-request-id") or "")
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(METADATA, "answered", true)
  metadata:set(METADATA, "reason", reason)
  handle:respond(
    headers,
    string.format(
      '{"type":"error","error":{"code":%d,"type":"%s","reason":"%s","message":"%s","request_id":"%s"}}',
      status, kind, reason, message, id
    )
  )
end
