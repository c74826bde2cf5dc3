-- Guards streams of endpoints that have servers outside the cluster. EVENT_LIMIT is put in front of this module.

function envoy_on_response(handle)
  local headers = handle:headers()
  local kind = headers:get("content-type")
  if not kind or not string.find(string.lower(kind), "event-stream", 1, true) then
    return
  end
  headers:remove("content-length") -- it may grow
  local guard = new_guard()
  for chunk in handle:bodyChunks() do
    local text = chunk:length() > 0 and chunk:getBytes(0, chunk:length()) or ""
    local safe = guard_events(guard, text, EVENT_LIMIT)
    if safe ~= text then
      chunk:setBytes(safe)
    end
  end
end
